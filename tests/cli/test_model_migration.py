"""From one recogniser to another and back: stored beside one another, the server started with one or the other."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import onnx
import pytest

from tests import pictures
from tests.rekognition.conftest import Tenant, make_tenant, service_env
from tests.servers import serving

__all__ = ["service_env"]


@pytest.fixture
def other_pack(synthetic_pack: Path, tmp_path: Path) -> Path:
    """The same networks in other files: another recogniser, as far as anybody can tell."""
    pack = tmp_path / "other"
    shutil.copytree(synthetic_pack, pack)
    network = onnx.load(str(pack / "rec_drawn.onnx"))
    network.doc_string = "another one"
    onnx.save(network, str(pack / "rec_drawn.onnx"))
    return pack


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder a subject; one is not registered, one photo shows nobody."""
    for subject, seed in (("ada", 1), ("bob", 2), ("nobody-known", 3)):
        (tmp_path / "photos" / subject).mkdir(parents=True)
        (tmp_path / "photos" / subject / "1.jpg").write_bytes(pictures.photo(seed))
    (tmp_path / "photos" / "ada" / "lake.jpg").write_bytes(pictures.landscape())
    return tmp_path / "photos"


def vultus(env: dict[str, str], *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command: list[str | Path] = [Path(sys.executable).parent / "vultus", *arguments]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)


def who(tenant: Tenant, base: str, seed: int) -> str | None:
    """Who a photo's person is said to be, by the server at this address."""
    files = {"image": ("photo.jpg", pictures.photo(seed, 1), "image/jpeg")}
    headers = {"authorization": tenant.native.headers["authorization"]}
    answer = httpx.post(f"{base}/api/v1/recognize", files=files, headers=headers, timeout=30).raise_for_status().json()
    candidates = answer["faces"][0]["candidates"]
    return candidates[0]["subject"] if candidates else None


def test_there_and_back(
    service_env: dict[str, str],
    database_url: str,
    other_pack: Path,
    photos: Path,
) -> None:
    env = {**service_env, "VULTUS_DATABASE_ADMIN_URL": database_url}
    migrate = ["models", "migrate", "--to", str(other_pack), "--photos", str(photos)]
    with serving(**service_env) as (base, _), make_tenant(base) as tenant:
        for subject, seed in (("ada", 1), ("bob", 2)):
            files = [("images", ("1.jpg", pictures.photo(seed), "image/jpeg"))]
            tenant.native.post("/register", data={"subject": subject}, files=files).raise_for_status()
        done = vultus(env, *migrate, "--tenant", tenant.id)
        assert done.returncode == 1
        assert "2 stored, 0 there already, 2 without a face to store." in done.stdout
        assert "no subject 'nobody-known'" in done.stderr
        assert "lake.jpg" in done.stderr
        again = vultus(env, *migrate, "--tenant", tenant.id)
        assert "0 stored, 2 there already" in again.stdout
        coverage = vultus(env, "models", "coverage", "--tenant", tenant.id).stdout
        assert coverage.count("rec_drawn:") == 2
        assert who(tenant, base, 1) == "ada"  # nothing changed for who searches
        with serving(**{**service_env, "VULTUS_MODEL_PACK": str(other_pack)}) as (other, _):
            assert [who(tenant, other, seed) for seed in (1, 2)] == ["ada", "bob"]
            assert who(tenant, base, 2) == "bob"
        tenant.native.delete("/collections/default/subjects/ada").raise_for_status()
        assert who(tenant, base, 1) == "bob"
    assert "rec_drawn" in vultus(env, "models", "coverage", "--tenant", tenant.id).stdout
