"""Every error that clients know, provoked through boto3; each names its cause."""

import io
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from PIL import Image

from app.permissions import Plan
from app.persistence.connections.database import Database
from app.persistence.repositories.tenants import PlanDirectory, TenantDirectory
from tests import pictures
from tests.rekognition.conftest import Index, Tenant

NOBODY = "00000000-0000-4000-8000-000000000000"
PHOTO = {"Bytes": pictures.photo(1)}


def refused(call: Callable[[], Any], code: str) -> str:
    """Its message, after checking that the error has the code, the status and the request id that clients read."""
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    assert answer["Error"]["Code"] == code, answer
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert answer["ResponseMetadata"]["RequestId"]
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-errortype"] == code
    return str(answer["Error"]["Message"])


def huge() -> bytes:
    """A PNG of nine million pixels; the test server takes four."""
    buffer = io.BytesIO()
    Image.new("L", (3000, 3000)).save(buffer, "PNG")
    return buffer.getvalue()


MISSING: dict[str, dict[str, Any]] = {
    "describe_collection": {},
    "delete_collection": {},
    "list_faces": {},
    "list_users": {},
    "index_faces": {"Image": PHOTO},
    "delete_faces": {"FaceIds": [NOBODY]},
    "search_faces": {"FaceId": NOBODY},
    "search_faces_by_image": {"Image": PHOTO},
    "search_users": {"UserId": "ada"},
    "search_users_by_image": {"Image": PHOTO},
    "create_user": {"UserId": "ada"},
    "delete_user": {"UserId": "ada"},
    "associate_faces": {"UserId": "ada", "FaceIds": [NOBODY]},
    "disassociate_faces": {"UserId": "ada", "FaceIds": [NOBODY]},
}


@pytest.mark.parametrize("operation", MISSING)
def test_a_missing_collection(rekognition: Any, operation: str) -> None:
    call = getattr(rekognition, operation)
    message = refused(lambda: call(CollectionId="nowhere", **MISSING[operation]), "ResourceNotFoundException")
    assert "nowhere" in message


@pytest.mark.parametrize("operation", ["index_faces", "search_faces_by_image", "search_users_by_image"])
def test_a_missing_collection_comes_before_what_is_wrong_with_a_photo(rekognition: Any, operation: str) -> None:
    call = getattr(rekognition, operation)
    for photo in (b"no photo", pictures.landscape()):
        image = {"Bytes": photo}
        refused(lambda: call(CollectionId="nowhere", Image=image), "ResourceNotFoundException")  # noqa: B023


@pytest.mark.parametrize("operation", ["delete_user", "associate_faces", "disassociate_faces", "search_users"])
def test_a_missing_user(rekognition: Any, collection: str, operation: str) -> None:
    call = getattr(rekognition, operation)
    message = refused(lambda: call(CollectionId=collection, **MISSING[operation]), "ResourceNotFoundException")
    assert "ada" in message


def test_a_missing_face(rekognition: Any, collection: str) -> None:
    for operation in ("search_faces", "search_users"):
        call = getattr(rekognition, operation)
        message = refused(lambda: call(CollectionId=collection, FaceId=NOBODY), "InvalidParameterException")  # noqa: B023
        assert NOBODY in message


def test_no_face_in_a_photo(rekognition: Any, collection: str) -> None:
    nobody = {"Bytes": pictures.landscape()}
    search = {"CollectionId": collection, "Image": nobody}
    message = refused(lambda: rekognition.search_faces_by_image(**search), "InvalidParameterException")
    assert message == "There are no faces in the image. Should be at least 1."
    for images, field in (
        ({"SourceImage": nobody, "TargetImage": PHOTO}, "SourceImage"),
        ({"SourceImage": PHOTO, "TargetImage": nobody}, "TargetImage"),
    ):
        message = refused(lambda: rekognition.compare_faces(**images), "InvalidParameterException")  # noqa: B023
        assert message == (
            f"Request has invalid parameters. {field}: There are no faces in the image. Should be at least 1."
        )


def test_a_face_below_the_bar_names_value_and_limit(rekognition: Any, collection: str) -> None:
    search = {"CollectionId": collection, "Image": {"Bytes": pictures.small(1)}, "QualityFilter": "AUTO"}
    message = refused(lambda: rekognition.search_faces_by_image(**search), "InvalidParameterException")
    assert "px" in message
    assert "40" in message


BROKEN: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "pattern": ("create_collection", {"CollectionId": "a b"}, "InvalidParameterException", "CollectionId"),
    "too long": ("create_collection", {"CollectionId": "a" * 256}, "InvalidParameterException", "255"),
    "a dot first": ("create_collection", {"CollectionId": ".a"}, "InvalidParameterException", "CollectionId"),
    "too many": ("list_collections", {"MaxResults": 4097}, "InvalidParameterException", "4096"),
    "a long token": ("list_collections", {"NextToken": "a" * 256}, "InvalidParameterException", "255"),
    "users a page": ("list_users", {"CollectionId": "people", "MaxResults": 501}, "InvalidParameterException", "500"),
    "a threshold": (
        "search_faces",
        {"CollectionId": "people", "FaceId": NOBODY, "FaceMatchThreshold": 400},
        "InvalidParameterException",
        "400",
    ),
    "faces wanted": (
        "search_faces",
        {"CollectionId": "people", "FaceId": NOBODY, "MaxFaces": 99999},
        "InvalidParameterException",
        "99999",
    ),
    "no uuid": ("search_faces", {"CollectionId": "people", "FaceId": "ada"}, "InvalidParameterException", "FaceId"),
    "many faces": (
        "associate_faces",
        {"CollectionId": "people", "UserId": "ada", "FaceIds": [NOBODY] * 101},
        "InvalidParameterException",
        "101",
    ),
    "an enumeration": (
        "detect_faces",
        {"Image": PHOTO, "Attributes": ["HAIR"]},
        "InvalidParameterException",
        "Attributes[0]",
    ),
    "a bar": (
        "index_faces",
        {"CollectionId": "people", "Image": PHOTO, "QualityFilter": "ULTRA"},
        "InvalidParameterException",
        "QualityFilter",
    ),
    "an external id": (
        "index_faces",
        {"CollectionId": "people", "Image": PHOTO, "ExternalImageId": "a b"},
        "InvalidParameterException",
        "ExternalImageId",
    ),
    "no image": ("detect_faces", {"Image": {}}, "InvalidParameterException", "Image"),
    "an empty image": ("detect_faces", {"Image": {"Bytes": b""}}, "InvalidParameterException", "Image.Bytes"),
    "two images": (
        "detect_faces",
        {"Image": {**PHOTO, "S3Object": {"Bucket": "abc", "Name": "x"}}},
        "InvalidParameterException",
        "exactly one",
    ),
    "no object store": (
        "detect_faces",
        {"Image": {"S3Object": {"Bucket": "abc", "Name": "x.jpg"}}},
        "InvalidS3ObjectException",
        "object store",
    ),
    "no picture": ("detect_faces", {"Image": {"Bytes": b"%PDF-1.7 ..."}}, "InvalidImageFormatException", ""),
    "a cut picture": (
        "detect_faces",
        {"Image": {"Bytes": pictures.photo(1)[:2000]}},
        "InvalidImageFormatException",
        "",
    ),
    "a GIF that moves": (
        "detect_faces",
        {"Image": {"Bytes": pictures.animation("GIF")}},
        "InvalidImageFormatException",
        "",
    ),
    "bytes": (
        "detect_faces",
        {"Image": {"Bytes": b"\0" * 5_242_881}},
        "ImageTooLargeException",
        "5242881",
    ),
    "pixels": ("detect_faces", {"Image": {"Bytes": huge()}}, "ImageTooLargeException", ""),
    "both images": (
        "compare_faces",
        {name: {"Bytes": b"\0" * 5_242_881} for name in ("SourceImage", "TargetImage")},
        "ImageTooLargeException",
        "",
    ),
    "a body": (
        "compare_faces",
        {name: {"Bytes": b"\0" * 8_000_000} for name in ("SourceImage", "TargetImage")},
        "ImageTooLargeException",
        "",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_boto3_lets_through_is_refused_by_name(rekognition: Any, collection: str, what: str) -> None:
    operation, parameters, code, named = BROKEN[what]
    assert named in refused(lambda: getattr(rekognition, operation)(**parameters), code)
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 0


def test_what_boto3_itself_never_sends(tenant: Tenant, collection: str) -> None:
    """Missing members and wrong types, sent past its own checks."""
    client = tenant.client(config={"parameter_validation": False})
    message = refused(lambda: client.index_faces(CollectionId=collection), "InvalidParameterException")
    assert message == "Request has invalid parameters. Image: is missing."
    for parameters, named in (
        ({"CollectionId": 7}, "CollectionId: must be a string (got 7)."),
        ({"CollectionId": None}, "CollectionId: is missing."),
        ({"CollectionId": collection, "MaxResults": "many"}, "MaxResults: must be a whole number (got many)."),
        ({"CollectionId": collection, "FaceIds": []}, "FaceIds: has 0 entries; the minimum is 1."),
    ):
        message = refused(lambda: client.list_faces(**parameters), "InvalidParameterException")  # noqa: B023
        assert message == f"Request has invalid parameters. {named}"


def test_operations_that_are_not_answered_are_named(rekognition: Any, tenant: Tenant) -> None:
    message = refused(lambda: rekognition.detect_labels(Image=PHOTO), "UnknownOperationException")
    assert message.startswith("DetectLabels is not supported")
    assert "SearchFacesByImage" not in message
    got = httpx.get(f"{tenant.base}/rekognition")
    assert (got.status_code, got.json()["__type"], got.headers["allow"]) == (405, "UnknownOperationException", "POST")


def test_who_may_not_is_told_what_is_missing(tenant: Tenant) -> None:
    key, secret = tenant.access_key("recognize")
    client = tenant.client(aws_access_key_id=key, aws_secret_access_key=secret)
    assert client.compare_faces(SourceImage=PHOTO, TargetImage=PHOTO)["FaceMatches"]
    message = refused(lambda: client.create_collection(CollectionId="mine"), "AccessDeniedException")
    assert "register" in message


async def put_on_plan(database: Database, tenant: Tenant, **plan: Any) -> None:
    async with database.transaction(as_operator=True) as session:
        made = Plan(uuid.uuid4().hex, **plan)
        await PlanDirectory(session).save(made)
        await TenantDirectory(session).set_plan(uuid.UUID(tenant.id), made.name)


@pytest.mark.parametrize("mode", ["legacy", "standard"])
async def test_who_calls_too_often_is_throttled_and_recovers_by_its_own_retries(
    database: Database, tenant: Tenant, mode: str
) -> None:
    await put_on_plan(database, tenant, rates={"read": "4/second"})
    eager = tenant.client()

    def call_often() -> None:
        for _ in range(12):
            eager.list_collections()

    assert "4 requests" in refused(call_often, "ProvisionedThroughputExceededException")
    patient = tenant.client(config={"retries": {"mode": mode, "total_max_attempts": 10}})
    answers = [patient.list_collections()["ResponseMetadata"] for _ in range(10)]
    assert sum(answer["RetryAttempts"] for answer in answers) > 0


async def test_what_a_plan_does_not_include(database: Database, tenant: Tenant) -> None:
    client = tenant.client()
    rates = dict.fromkeys(("read", "register", "recognize", "delete"), "1000/minute")
    quotas = {"collections": 2, "templates": 1, "recognitions_a_month": 1}
    await put_on_plan(database, tenant, rates=rates, quotas=quotas)
    client.create_collection(CollectionId="people")
    create = {"CollectionId": "another"}
    assert "collections" in refused(lambda: client.create_collection(**create), "ServiceQuotaExceededException")
    group = {"CollectionId": "people", "Image": {"Bytes": pictures.group(1, 2)}}
    assert "1 faces" in refused(lambda: client.index_faces(**group), "ServiceQuotaExceededException")
    assert client.describe_collection(CollectionId="people")["FaceCount"] == 0
    client.detect_faces(Image=PHOTO)
    assert "recognitions" in refused(lambda: client.detect_faces(Image=PHOTO), "ServiceQuotaExceededException")


def test_messages_hold_neither_photo_nor_key(rekognition: Any, tenant: Tenant, index: Index, collection: str) -> None:
    index(pictures.photo(1))
    wrong = tenant.client(aws_secret_access_key=tenant.secret[::-1])
    calls: list[tuple[Any, dict[str, Any]]] = [
        (rekognition.detect_faces, {"Image": {"Bytes": b"a" * 6_000_000}}),
        (wrong.list_faces, {"CollectionId": collection}),
    ]
    for call, parameters in calls:
        with pytest.raises(ClientError) as caught:
            call(**parameters)
        said = str(caught.value.response)
        assert "YWFh" not in said
        assert tenant.secret not in said
        assert tenant.secret[::-1] not in said
