"""The sentences of AWS that programs compare word for word, as boto3 reports them."""

import re
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from app.persistence.connections.database import Database
from tests import pictures
from tests.rekognition.conftest import Index, Tenant
from tests.rekognition.test_errors import NOBODY, huge, put_on_plan, refused

OUR_WORDS = re.compile(r"\b(subject|template|cursor|idempotency-key)", re.IGNORECASE)


def test_of_collections(rekognition: Any, collection: str) -> None:
    create, gone = {"CollectionId": collection}, {"CollectionId": "gone"}
    message = refused(lambda: rekognition.create_collection(**create), "ResourceAlreadyExistsException")
    assert message == "The collection id: people already exists"
    for call in (rekognition.describe_collection, rekognition.delete_collection, rekognition.list_faces):
        message = refused(lambda: call(**gone), "ResourceNotFoundException")  # noqa: B023
        assert message == "The collection id: gone does not exist"
    message = refused(lambda: rekognition.list_collections(NextToken="x"), "InvalidPaginationTokenException")
    assert message == "Invalid Pagination Token"


def test_of_users(rekognition: Any, collection: str) -> None:
    ada = {"CollectionId": collection, "UserId": "ada"}
    token = {"ClientRequestToken": uuid.uuid4().hex}
    message = refused(lambda: rekognition.delete_user(**ada), "ResourceNotFoundException")
    assert message == "The user id: ada does not exist"
    rekognition.create_user(**ada, **token)
    assert refused(lambda: rekognition.create_user(**ada), "ConflictException") == "The user id: ada already exists"
    other = {**ada, "UserId": "eva", **token}
    message = refused(lambda: rekognition.create_user(**other), "IdempotentParameterMismatchException")
    assert message == f"The ClientRequestToken: {token['ClientRequestToken']} you have supplied is already in use."
    own = {**ada, "UserId": f"face@{NOBODY}"}
    assert not OUR_WORDS.search(refused(lambda: rekognition.create_user(**own), "InvalidParameterException"))


def test_of_photos(rekognition: Any, collection: str) -> None:
    nobody = {"CollectionId": collection, "Image": {"Bytes": pictures.landscape()}}
    message = refused(lambda: rekognition.search_faces_by_image(**nobody), "InvalidParameterException")
    assert message == "There are no faces in the image. Should be at least 1."
    for broken in (b"%PDF-1.7 ...", pictures.photo(1)[:2000], pictures.animation("GIF")):
        image = {"Bytes": broken}
        message = refused(lambda: rekognition.detect_faces(Image=image), "InvalidImageFormatException")  # noqa: B023
        assert message == "Request has invalid image format"
    for large in (b"\0" * 5_242_881, huge()):
        image = {"Bytes": large}
        message = refused(lambda: rekognition.detect_faces(Image=image), "ImageTooLargeException")  # noqa: B023
        assert message.startswith("Image size is too large. ")


def test_a_header_says_why_a_photo_is_refused(rekognition: Any) -> None:
    for broken, why in ((b"%PDF-1.7 ...", "They are PDF."), (pictures.animation("GIF"), "several frames")):
        with pytest.raises(ClientError) as caught:
            rekognition.detect_faces(Image={"Bytes": broken})
        assert why in caught.value.response["ResponseMetadata"]["HTTPHeaders"]["x-vultus-detail"]


async def test_of_limits(database: Database, tenant: Tenant, index: Index, collection: str) -> None:
    client, create = tenant.client(), {"CollectionId": "another"}
    face_ids = index(pictures.photo(1))
    client.create_user(CollectionId=collection, UserId="ada")
    client.associate_faces(CollectionId=collection, UserId="ada", FaceIds=face_ids)
    await put_on_plan(database, tenant, rates={"read": "2/second"}, quotas={"templates": 1})
    group = {"CollectionId": collection, "Image": {"Bytes": pictures.group(2, 3)}}
    message = refused(lambda: client.index_faces(**group), "ServiceQuotaExceededException")
    assert "faces" in message
    assert not OUR_WORDS.search(message)
    key, secret = tenant.access_key("recognize")
    limited = tenant.client(aws_access_key_id=key, aws_secret_access_key=secret)
    message = refused(lambda: limited.create_collection(**create), "AccessDeniedException")
    assert re.match(r"User: arn:aws:iam::\d{12}:user/[0-9a-f-]{36} is not authorized to perform: ", message)
    assert "rekognition:CreateCollection" in message

    def call_often() -> None:
        for _ in range(6):
            client.list_collections()

    message = refused(call_often, "ProvisionedThroughputExceededException")
    assert message.startswith("Provisioned Rate exceeded. ")


def test_of_signatures(tenant: Tenant) -> None:
    unknown = tenant.client(aws_access_key_id="VKUNKNOWN")
    message = refused(unknown.list_collections, "UnrecognizedClientException")
    assert message.startswith("The security token included in the request is invalid. ")
    wrong = tenant.client(aws_secret_access_key=tenant.secret[::-1])
    message = refused(wrong.list_collections, "InvalidSignatureException")
    assert message.startswith("The request signature we calculated does not match the signature you provided. ")


@pytest.mark.parametrize("operation", ["search_faces", "search_users"])
def test_of_a_missing_face(rekognition: Any, collection: str, operation: str) -> None:
    call = getattr(rekognition, operation)
    message = refused(lambda: call(CollectionId=collection, FaceId=NOBODY), "InvalidParameterException")
    assert message.startswith("Request has invalid parameters. FaceId: ")
