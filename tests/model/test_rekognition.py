"""Real people through the Rekognition protocol: imported with the script that we ship, searched with boto3."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.model.test_real_pack import GALLERY, MIN_TOP_1, PACK, PHOTOS, PROBES, people
from tests.rekognition.conftest import REGION, Tenant, make_tenant, service_env
from tests.servers import serving

pytestmark = [
    pytest.mark.real_pack,
    pytest.mark.skipif(not PACK.is_dir(), reason="no real model pack: set VULTUS_MODEL_PACK to a directory"),
    pytest.mark.skipif(not PHOTOS.is_dir(), reason="no real photos in ../shared/data/lfw-dev/images"),
]

__all__ = ["service_env"]


@pytest.fixture
def real_tenant(service_env: dict[str, str]) -> Iterator[Tenant]:
    with serving(**{**service_env, "VULTUS_MODEL_PACK": str(PACK)}) as (base, _), make_tenant(base) as made:
        yield made


def test_real_people_are_found_on_other_photos(real_tenant: Tenant, tmp_path: Path) -> None:
    """A gallery of 500 people with one photo each, 200 probes of other photos of them: first at least 97%."""
    chosen = people()[:GALLERY]
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", newline="") as file:
        rows = [(photos[0], name) for name, photos in chosen]
        csv.writer(file).writerows([("photo", "external_image_id"), *rows])
    keys = {"AWS_ACCESS_KEY_ID": real_tenant.access_key_id, "AWS_SECRET_ACCESS_KEY": real_tenant.secret}
    command: list[str | Path] = [
        Path(sys.executable).parent / "vultus",
        "import",
        "photos",
        manifest,
        "--collection",
        "lfw",
    ]
    options = ["--endpoint", f"{real_tenant.base}/rekognition", "--region", REGION, "--quality", "NONE"]
    done = subprocess.run([*command, *options], env={**os.environ, **keys}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    client = real_tenant.client(config={"retries": {"mode": "standard", "total_max_attempts": 10}})
    assert client.describe_collection(CollectionId="lfw")["FaceCount"] == GALLERY

    def is_found_first(one: tuple[str, list[Path]]) -> bool:
        name, photos = one
        answer = client.search_faces_by_image(
            CollectionId="lfw", Image={"Bytes": photos[1].read_bytes()}, FaceMatchThreshold=0, MaxFaces=1
        )
        matches = answer["FaceMatches"]  # none for a face of too low quality
        return bool(matches) and bool(matches[0]["Face"]["ExternalImageId"] == name)

    with ThreadPoolExecutor(4) as pool:
        hits = list(pool.map(is_found_first, chosen[:PROBES]))
    print(f"right person first: {sum(hits) / len(hits):.3f} of {PROBES} probes in a gallery of {GALLERY}")
    assert len(hits) == PROBES
    assert sum(hits) / len(hits) >= MIN_TOP_1
