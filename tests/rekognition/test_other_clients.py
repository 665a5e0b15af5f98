"""Other unmodified clients than boto3: the AWS CLI and the AWS SDK for JavaScript, each from its own process."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests import packages, pictures
from tests.rekognition.conftest import REGION, Tenant

_JAVASCRIPT = Path(__file__).parent / "javascript"
_KNOWN, _OTHER, _STRANGER = 1, 2, 3


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with the photos of one story."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, photo in {
        "known": pictures.photo(_KNOWN),
        "other": pictures.photo(_OTHER),
        "again": pictures.photo(_KNOWN, 3),
        "stranger": pictures.photo(_STRANGER),
        "group": pictures.group(_OTHER, _KNOWN, _STRANGER),
    }.items():
        (folder / f"{name}.jpg").write_bytes(photo)
    return folder


@pytest.fixture
def env(tenant: Tenant, tmp_path: Path) -> dict[str, str]:
    """An environment in which a client finds the tenant's access key, and nothing of the developer's."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ACCESS_KEY_ID": tenant.access_key_id,
        "AWS_SECRET_ACCESS_KEY": tenant.secret,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "HOME": str(tmp_path),
        "USERPROFILE": str(tmp_path),
    }


class Cli:
    """`aws rekognition`, as a person types it."""

    def __init__(self, endpoint: str, env: dict[str, str]) -> None:
        self._endpoint, self._env = endpoint, env

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).parent / ("aws.cmd" if sys.platform == "win32" else "aws")
        options = ["--endpoint-url", self._endpoint, "--region", REGION, "--output", "json"]
        return subprocess.run(
            [program, "rekognition", *words, *options],
            env={**self._env, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def answer(self, *words: str) -> Any:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return json.loads(done.stdout)

    def error(self, *words: str, **env: str) -> str:
        done = self.run(*words, **env)
        assert done.returncode != 0
        assert done.stdout == ""
        return done.stderr


def test_the_aws_cli(tenant: Tenant, env: dict[str, str], photos: Path) -> None:
    cli = Cli(f"{tenant.base}/rekognition", env)
    collection = ("--collection-id", "people")

    def image(name: str, option: str = "--image-bytes") -> tuple[str, str]:
        return option, f"fileb://{photos / name}.jpg"

    def index(name: str) -> Any:
        return cli.answer("index-faces", *collection, "--external-image-id", name, *image(name))

    search = ("search-faces-by-image", *collection)
    results = {
        "created": cli.answer("create-collection", *collection),
        "known": (known := index("known")),
        "other": index("other"),
        "found": cli.answer(*search, *image("again")),
        "strange": cli.answer(*search, *image("stranger")),
        "compared": cli.answer(
            "compare-faces", *image("again", "--source-image-bytes"), *image("group", "--target-image-bytes")
        ),
    }
    unsigned = cli.error(*search, *image("again"), AWS_SECRET_ACCESS_KEY="not the secret of this key")
    results |= {
        "deleted": cli.answer("delete-faces", *collection, "--face-ids", _face_id(known)),
        "after": cli.answer(*search, *image("again")),
        "dropped": cli.answer("delete-collection", *collection),
    }
    missing = cli.error(*search, *image("again"))

    _check(results)
    assert "(InvalidSignatureException) when calling the SearchFacesByImage operation" in unsigned
    assert "(ResourceNotFoundException) when calling the SearchFacesByImage operation" in missing


def test_the_aws_sdk_for_javascript(tenant: Tenant, env: dict[str, str], photos: Path) -> None:
    node, npm = packages.find_node()
    env |= {"VULTUS_ENDPOINT": f"{tenant.base}/rekognition"}
    # A program finds its packages in a `node_modules` above it.
    with tempfile.TemporaryDirectory(dir=packages.install(npm, _JAVASCRIPT, "--omit=dev")) as folder:
        program = shutil.copy(_JAVASCRIPT / "client.mjs", folder)
        done = subprocess.run(
            [node, program, photos], env=env, capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)

    _check(results)
    unsigned, missing = results["unsigned"], results["missing"]
    assert unsigned["name"] == "InvalidSignatureException"
    assert missing["name"] == "ResourceNotFoundException"
    assert "people" in missing["message"]
    assert (unsigned["isNotFound"], missing["isNotFound"]) == (False, True)
    for error in (unsigned, missing):
        assert (error["ofTheService"], error["fault"], error["status"], error["attempts"]) == (True, "client", 400, 1)


def _face_id(indexed: Any) -> str:
    (record,) = indexed["FaceRecords"]
    return str(record["Face"]["FaceId"])


def _check(results: dict[str, Any]) -> None:
    """What every client must have been told."""
    created = results["created"]
    assert created["StatusCode"] == 200
    assert created["CollectionArn"].endswith("collection/people")
    assert created["FaceModelVersion"]

    known, other = _face_id(results["known"]), _face_id(results["other"])
    assert known != other
    for name in ("known", "other"):
        assert results[name]["FaceRecords"][0]["Face"]["ExternalImageId"] == name
        assert results[name]["UnindexedFaces"] == []

    (match,) = results["found"]["FaceMatches"]
    assert match["Face"]["FaceId"] == known
    assert match["Face"]["ExternalImageId"] == "known"
    assert match["Face"]["ImageId"] == results["known"]["FaceRecords"][0]["Face"]["ImageId"]
    assert 80 < match["Similarity"] <= 100
    assert results["found"]["SearchedFaceConfidence"] > 90
    assert results["strange"]["FaceMatches"] == []
    assert results["strange"]["SearchedFaceConfidence"] > 90

    compared = results["compared"]
    (match,) = compared["FaceMatches"]
    assert 80 < match["Similarity"] <= 100
    assert _across(match["Face"]) == pytest.approx(0.5, abs=0.05), "the known person stands in the middle"
    aside = sorted(_across(face) for face in compared["UnmatchedFaces"])
    assert aside == pytest.approx([140 / 740, 600 / 740], abs=0.05)
    assert compared["SourceImageFace"]["Confidence"] > 90

    assert results["deleted"] == {"DeletedFaces": [known], "UnsuccessfulFaceDeletions": []}
    assert results["after"]["FaceMatches"] == []
    assert results["dropped"] == {"StatusCode": 200}


def _across(face: Any) -> float:
    """Where the middle of a face is, from the left edge (0) to the right edge (1)."""
    box = face["BoundingBox"]
    return float(box["Left"] + box["Width"] / 2)
