"""Attributes that no model estimates: absent, or placeholders for a tenant that asks for them."""

from typing import Any

import pytest

from tests import pictures
from tests.rekognition.conftest import Tenant

PHOTO = {"Bytes": pictures.group(1, 2)}
KNOWN = {"BoundingBox", "Landmarks", "Pose", "Quality", "Confidence"}
FLAGS = {"Beard", "Mustache", "Smile", "Eyeglasses", "Sunglasses", "EyesOpen", "MouthOpen", "FaceOccluded"}


def turn_on(tenant: Tenant, *, on: bool = True) -> None:
    body = {"placeholder_attributes": on}
    assert tenant.native.put("/rekognition-options", json=body).raise_for_status().json() == body
    assert tenant.native.get("/rekognition-options").json() == body


def test_they_are_absent_unless_the_tenant_turns_them_on(tenant: Tenant, stranger: Tenant) -> None:
    for switch in (None, True, False):
        if switch is not None:
            turn_on(tenant, on=switch)
        faces = tenant.client().detect_faces(Image=PHOTO, Attributes=["ALL"])["FaceDetails"]
        assert [set(face) > KNOWN for face in faces] == [bool(switch)] * 2
    turn_on(tenant)
    (face, _) = stranger.client().detect_faces(Image=PHOTO, Attributes=["ALL"])["FaceDetails"]
    assert set(face) == KNOWN


def test_placeholders_decide_nothing(tenant: Tenant, rekognition: Any) -> None:
    turn_on(tenant)
    for face in rekognition.detect_faces(Image=PHOTO, Attributes=["DEFAULT", "ALL"])["FaceDetails"]:
        assert set(face) == KNOWN | FLAGS | {"AgeRange", "Gender", "Emotions", "EyeDirection"}
        assert all(face[name] == {"Value": False, "Confidence": 0} for name in FLAGS)
        assert face["AgeRange"] == {"Low": 0, "High": 120}
        assert face["Gender"] == {"Value": "Unknown", "Confidence": 0}
        assert face["Emotions"] == [{"Type": "UNKNOWN", "Confidence": 0}]
        assert face["EyeDirection"] == {"Yaw": 0, "Pitch": 0, "Confidence": 0}


@pytest.mark.parametrize(
    ("attributes", "members"),
    [([], set()), (["DEFAULT"], set()), (["AGE_RANGE", "SMILE", "DEFAULT"], {"AgeRange", "Smile"})],
)
def test_only_those_that_are_requested_are_filled(
    tenant: Tenant, rekognition: Any, collection: str, attributes: list[str], members: set[str]
) -> None:
    turn_on(tenant)
    (face, _) = rekognition.detect_faces(Image=PHOTO, Attributes=attributes)["FaceDetails"]
    assert set(face) == KNOWN | members
    done = rekognition.index_faces(CollectionId=collection, Image=PHOTO, DetectionAttributes=attributes, MaxFaces=1)
    assert set(done["FaceRecords"][0]["FaceDetail"]) == KNOWN | members
    assert set(done["UnindexedFaces"][0]["FaceDetail"]) == KNOWN | members


def test_the_switch_leaves_the_privacy_policy_and_the_policy_leaves_the_switch(tenant: Tenant) -> None:
    policy = {"consent_required": True, "retention_days": 30, "second_factor_required": False}
    tenant.native.put("/policy", json=policy).raise_for_status()
    turn_on(tenant)
    assert tenant.native.get("/policy").json() == policy
    tenant.native.put("/policy", json={}).raise_for_status()
    assert tenant.native.get("/rekognition-options").json() == {"placeholder_attributes": True}
    actions = [entry["action"] for entry in tenant.native.get("/audit").json()["items"]]
    assert actions.count("rekognition_options.changed") == 1


def test_the_switch_is_true_or_false(tenant: Tenant) -> None:
    for wrong in ({"placeholder_attributes": "yes"}, {"placeholder_attributes": 1}, {"fill": True}):
        assert tenant.native.put("/rekognition-options", json=wrong).status_code == 422
    assert tenant.native.get("/rekognition-options").json() == {"placeholder_attributes": False}
