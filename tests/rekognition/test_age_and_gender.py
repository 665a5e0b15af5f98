"""Age and gender, with a pack that has a network for them: only in answers to requests that ask, and nowhere else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.faces import FaceAttributes
from app.ml.analysis import Embed, FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from tests import pictures
from tests.attribute_network import add_attribute_network
from tests.rekognition.conftest import Tenant, make_tenant
from tests.rekognition.test_attributes import FLAGS, KNOWN, turn_on
from tests.servers import serving

GROUP = pictures.group(1, 2, 3)
PHOTO = {"Bytes": GROUP}


@pytest.fixture(scope="module")
def able_pack(synthetic_pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_attribute_network(synthetic_pack, tmp_path_factory.mktemp("able") / "pack")


@pytest.fixture(scope="module")
def able_analyzer(settings: Settings, able_pack: Path) -> FaceAnalyzer:
    return build_analyzer(settings.model_copy(update={"model_pack": str(able_pack)}))


@pytest.fixture(scope="module")
def able_server(service_env: dict[str, str], able_pack: Path) -> Iterator[str]:
    with serving(**{**service_env, "VULTUS_MODEL_PACK": str(able_pack)}) as (base, _):
        yield base


@pytest.fixture
def tenant(able_server: str) -> Iterator[Tenant]:
    with make_tenant(able_server) as made:
        yield made


def expected(attributes: FaceAttributes | None) -> dict[str, Any]:
    assert attributes is not None
    return {
        "AgeRange": {"Low": max(0, attributes.age - 5), "High": attributes.age + 5},
        "Gender": {
            "Value": "Male" if attributes.is_male else "Female",
            "Confidence": pytest.approx(100 * attributes.gender_score),
        },
    }


@pytest.mark.parametrize(
    ("attributes", "members"),
    [
        ([], set()),
        (["DEFAULT"], set()),
        (["SMILE"], set()),
        (["AGE_RANGE"], {"AgeRange"}),
        (["GENDER", "DEFAULT"], {"Gender"}),
        (["ALL"], {"AgeRange", "Gender"}),
    ],
)
def test_only_requested_ones_are_estimated(
    rekognition: Any, collection: str, able_analyzer: FaceAnalyzer, attributes: list[str], members: set[str]
) -> None:
    estimated = [
        expected(face.attributes) for face in able_analyzer.analyze(GROUP, Embed.NONE, with_attributes=True).faces
    ]
    detected = rekognition.detect_faces(Image=PHOTO, Attributes=attributes)["FaceDetails"]
    for _ in range(2):  # the second time, the faces are stored already
        done = rekognition.index_faces(CollectionId=collection, Image=PHOTO, DetectionAttributes=attributes, MaxFaces=2)
        entries = done["FaceRecords"] + done["UnindexedFaces"]
        assert (len(detected), len(done["FaceRecords"]), len(entries)) == (3, 2, 3)
        for details in (detected, [entry["FaceDetail"] for entry in entries]):
            for detail, face in zip(details, estimated, strict=True):
                assert set(detail) == KNOWN | members
                assert {name: detail[name] for name in members} == {name: face[name] for name in members}
                assert "Gender" not in members or 50 <= detail["Gender"]["Confidence"] <= 100


def test_estimates_replace_placeholders(tenant: Tenant, rekognition: Any) -> None:
    before = rekognition.detect_faces(Image=PHOTO, Attributes=["ALL"])["FaceDetails"]
    turn_on(tenant)
    for was, face in zip(before, rekognition.detect_faces(Image=PHOTO, Attributes=["ALL"])["FaceDetails"], strict=True):
        assert set(face) == KNOWN | FLAGS | {"AgeRange", "Gender", "Emotions", "EyeDirection"}
        assert (face["AgeRange"], face["Gender"]) == (was["AgeRange"], was["Gender"])
        assert face["Smile"] == {"Value": False, "Confidence": 0}


def names(document: Any) -> set[str]:
    """All names of members in a JSON document."""
    if isinstance(document, dict):
        return set(document) | {name for value in document.values() for name in names(value)}
    return {name for value in document for name in names(value)} if isinstance(document, list) else set()


def test_nothing_of_them_is_stored_listed_or_answered_natively(
    tenant: Tenant, rekognition: Any, collection: str
) -> None:
    rekognition.index_faces(CollectionId=collection, Image=PHOTO, DetectionAttributes=["ALL"])
    rekognition.create_user(CollectionId=collection, UserId="ada")
    face_ids = [face["FaceId"] for face in rekognition.list_faces(CollectionId=collection)["Faces"]]
    rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=face_ids[:1])
    subject = f"/collections/{collection}/subjects/ada"
    documents = [
        rekognition.list_faces(CollectionId=collection)["Faces"],
        tenant.native.post("/detect", files={"image": GROUP}).raise_for_status().json(),
        *(tenant.native.get(path).raise_for_status().json() for path in (f"{subject}/export", "/audit", "/usage")),
    ]
    for document in documents:
        found = {name.lower() for name in names(document)}
        assert len(found) > 3
        assert not found & {"age", "agerange", "age_range", "gender", "is_male", "gender_score", "attributes"}
