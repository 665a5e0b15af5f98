"""Errors that both APIs share name the parameter and the thing as the client of each knows it."""

import json

import pytest

from app.errors import (
    AppError,
    ConsentWithdrawn,
    FaceNotFound,
    FaceTooSmall,
    ImageAnimated,
    ImageTooLarge,
    InvalidParameter,
    NoFace,
    ObjectUnavailable,
    QuotaExceeded,
    SubjectFull,
)
from app.rekognition.errors import rekognition_error
from app.rekognition.messages import Asked

ASKED = Asked("IndexFaces", {"CollectionId": "people"}, "arn:aws:iam::000000000007:user/ada")
INVALID = "Request has invalid parameters. "
S3 = "Unable to get object metadata from S3. Check object key, region and/or access permissions. "


def body(error: AppError) -> dict[str, str]:
    return dict(json.loads(bytes(rekognition_error(error, ASKED).body)))


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (InvalidParameter("subject: 'ada' is wrong.", field="subject"), f"{INVALID}UserId: 'ada' is wrong."),
        (FaceNotFound("face_id: no such face.", field="face_id"), f"{INVALID}FaceId: no such face."),
        (ObjectUnavailable("object: status 307.", field="object"), f"{S3}S3Object: status 307."),
        (QuotaExceeded("tags: 201; the maximum is 200.", field="tags"), "Tags: 201; the maximum is 200."),
        (ImageTooLarge("object: over 5 bytes.", field="object"), "Image size is too large. S3Object: over 5 bytes."),
        (FaceTooSmall("The face is 9 px wide."), f"{INVALID}The face is 9 px wide."),
        (InvalidParameter("UserId, FaceId: send one."), f"{INVALID}UserId, FaceId: send one."),
        (InvalidParameter("expires_at: it has passed.", field="expires_at"), f"{INVALID}expires_at: it has passed."),
    ],
)
def test_a_parameter_has_its_name_in_aws_after_the_sentence_of_aws(error: AppError, shown: str) -> None:
    assert body(error)["message"] == shown


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (SubjectFull("Subject 'my subject' would have 101 faces."), "User 'my subject' would have 101 faces."),
        (QuotaExceeded("The plan includes 1 templates."), "The plan includes 1 faces."),
        (InvalidParameter("Tags: wrong (got template)."), f"{INVALID}Tags: wrong (got template)."),
        (
            ConsentWithdrawn("consent: subject 'ada' withdrew it.", field="consent"),
            (
                "User: arn:aws:iam::000000000007:user/ada is not authorized to perform: rekognition:IndexFaces. "
                "consent: user 'ada' withdrew it."
            ),
        ),
    ],
)
def test_our_words_become_those_of_aws_but_not_in_values(error: AppError, shown: str) -> None:
    assert body(error)["message"] == shown


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (NoFace(), "There are no faces in the image. Should be at least 1."),
        (ImageAnimated("The image has 2 frames."), "Request has invalid image format"),
        (ObjectUnavailable("object: status 404.", field="object", is_unreadable=True), S3.strip()),
    ],
)
def test_a_sentence_that_programs_compare_stands_alone_and_ours_is_in_another_member(
    error: AppError, shown: str
) -> None:
    assert body(error)["message"] == shown
    assert body(error)["Detail"] == error.detail.replace("object:", "S3Object:")
