"""Where the protocol is served, and what is said of an operation or a path that does not exist."""

from typing import Any

import httpx
import pytest

from tests import pictures
from tests.rekognition.conftest import Tenant
from tests.rekognition.test_errors import refused

LARGE = {"Bytes": b"\0" * 3_000_000}


def test_a_host_alone_is_an_endpoint(tenant: Tenant) -> None:
    for path in ("", "/", "/rekognition", "/rekognition/"):
        client = tenant.client(path=path)
        assert client.detect_faces(Image={"Bytes": pictures.photo(1)})["FaceDetails"]
        message = refused(lambda: client.delete_collection(CollectionId="gone"), "ResourceNotFoundException")  # noqa: B023
        assert message == "The collection id: gone does not exist"
        both = {name: {"Bytes": b"\0" * 8_000_000} for name in ("SourceImage", "TargetImage")}
        refused(lambda: client.compare_faces(**both), "ImageTooLargeException")  # noqa: B023


def test_other_requests_for_the_root_are_not_answered(tenant: Tenant) -> None:
    for headers in ({}, {"x-amz-target": "DynamoDB_20120810.ListTables"}, {"x-amz-target": "RekognitionService"}):
        answer = httpx.post(f"{tenant.base}/", headers=headers, content=b"{}")
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    unsigned = httpx.post(f"{tenant.base}/", headers={"x-amz-target": "RekognitionService.ListFaces"}, content=b"{}")
    assert unsigned.json()["__type"] == "MissingAuthenticationTokenException"
    assert unsigned.json()["message"].startswith("Missing Authentication Token")


@pytest.mark.parametrize("path", ["/rekognition", "/"])
def test_an_unsupported_operation_is_named_whatever_it_sends(tenant: Tenant, path: str) -> None:
    client = tenant.client(path=path)
    for operation in ("detect_labels", "detect_text", "detect_moderation_labels", "recognize_celebrities"):
        for image in (LARGE, {"Bytes": pictures.photo(1)}):
            call = getattr(client, operation)
            message = refused(lambda: call(Image=image), "UnknownOperationException")  # noqa: B023
            assert "is not supported" in message
            assert len(message) < 200


def test_a_path_that_is_none_is_named_whatever_is_sent(tenant: Tenant) -> None:
    for path in ("/rekognitoin", "/api/v1/recognise"):
        for content in (b"{}", b"\0" * 3_000_000):
            answer = httpx.post(tenant.base + path, content=content)
            assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found")
            assert path in answer.json()["detail"]
    answer = httpx.post(f"{tenant.base}/api/v1/collections", content=b"\0" * 3_000_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")


def test_an_arn_of_another_region_is_refused(tenant: Tenant, rekognition: Any, collection: str) -> None:
    arn = rekognition.describe_collection(CollectionId=collection)["CollectionARN"]
    rekognition.tag_resource(ResourceArn=arn, Tags={"team": "door"})
    elsewhere = tenant.client(region_name="us-west-2")
    for call in (
        lambda: elsewhere.list_tags_for_resource(ResourceArn=arn),
        lambda: elsewhere.tag_resource(ResourceArn=arn, Tags={"a": "b"}),
        lambda: elsewhere.untag_resource(ResourceArn=arn, TagKeys=["team"]),
    ):
        message = refused(call, "ResourceNotFoundException")
        assert "eu-west-1" in message
        assert "us-west-2" in message
    assert rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"team": "door"}
    there = elsewhere.describe_collection(CollectionId=collection)["CollectionARN"]
    assert elsewhere.list_tags_for_resource(ResourceArn=there)["Tags"] == {"team": "door"}
