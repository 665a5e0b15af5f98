"""Errors that both APIs share name the parameter as the client of each knows it."""

import json

import pytest

from app.errors import AppError, FaceNotFound, InvalidParameter, NoFace, ObjectUnavailable, QuotaExceeded
from app.rekognition.errors import rekognition_error


def message(error: AppError) -> str:
    return str(json.loads(bytes(rekognition_error(error).body))["message"])


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (InvalidParameter("subject: 'ada' is wrong.", field="subject"), "UserId: 'ada' is wrong."),
        (FaceNotFound("face_id: no such face.", field="face_id"), "FaceId: no such face."),
        (NoFace("source: no face.", field="source"), "SourceImage: no face."),
        (NoFace("target: no face.", field="target"), "TargetImage: no face."),
        (ObjectUnavailable("object: status 404.", field="object"), "S3Object: status 404."),
        (QuotaExceeded("tags: 201; the maximum is 200.", field="tags"), "Tags: 201; the maximum is 200."),
    ],
)
def test_a_parameter_has_its_name_in_aws(error: AppError, shown: str) -> None:
    assert message(error) == shown


@pytest.mark.parametrize(
    "error",
    [
        InvalidParameter("UserId, FaceId: send exactly one of them.", field="UserId"),
        InvalidParameter("expires_at: it has passed.", field="expires_at"),
        NoFace("subject: this is prose, not a parameter."),
        NoFace(),
    ],
)
def test_other_details_stay_as_they_are(error: AppError) -> None:
    assert message(error) == error.detail
