"""Photos from an S3-compatible server: only from the one that is set, which the operator must allow."""

from typing import Any

import boto3

from tests import pictures
from tests.rekognition.conftest import REDIRECTED, Tenant
from tests.rekognition.test_errors import refused


def choose(strict_tenant: Tenant, endpoint: str) -> Any:
    body = {"endpoint": endpoint, "access_key_id": "reader", "secret_access_key": "s3 secret"}
    return strict_tenant.native.put("/object-store", json=body)


def image(name: str, bucket: str = "photos", **more: str) -> dict[str, Any]:
    return {"S3Object": {"Bucket": bucket, "Name": name, **more}}


def test_photos_are_read_from_the_store_that_is_set(strict_tenant: Tenant, bucket: str) -> None:
    client, ada = strict_tenant.client(), image("people/ada löwe+1.jpg")
    assert "no object store is set" in refused(lambda: client.detect_faces(Image=ada), "InvalidS3ObjectException")
    shown = choose(strict_tenant, bucket).raise_for_status().json()
    assert shown == {"endpoint": bucket, "region": "us-east-1", "access_key_id": "reader"}
    assert strict_tenant.native.get("/object-store").json() == shown
    compared = client.compare_faces(SourceImage=ada, TargetImage={"Bytes": pictures.group(1, 2)})
    assert len(compared["FaceMatches"]) == 1
    client.create_collection(CollectionId="people")
    first = client.index_faces(CollectionId="people", Image=ada)["FaceRecords"][0]["Face"]["FaceId"]
    sent = client.index_faces(CollectionId="people", Image={"Bytes": pictures.photo(1)})
    assert sent["FaceRecords"][0]["Face"]["FaceId"] == first  # the same photo, whichever way it came
    strict_tenant.native.delete("/object-store").raise_for_status()
    refused(lambda: client.detect_faces(Image=ada), "InvalidS3ObjectException")


def test_a_version_may_be_named(strict_tenant: Tenant, bucket: str) -> None:
    choose(strict_tenant, bucket).raise_for_status()
    client = strict_tenant.client()
    s3 = boto3.client(
        "s3", endpoint_url=bucket, region_name="us-east-1", aws_access_key_id="reader", aws_secret_access_key="x"
    )
    versions = s3.list_object_versions(Bucket="photos", Prefix="versions.jpg")["Versions"]
    s3.close()
    older = next(one["VersionId"] for one in versions if not one["IsLatest"])
    target = {"TargetImage": {"Bytes": pictures.photo(2, 1)}}
    assert client.compare_faces(SourceImage=image("versions.jpg", Version=older), **target)["FaceMatches"]
    assert not client.compare_faces(SourceImage=image("versions.jpg"), **target)["FaceMatches"]


def test_what_cannot_be_read_says_why(strict_tenant: Tenant, bucket: str) -> None:
    choose(strict_tenant, bucket).raise_for_status()
    client = strict_tenant.client()
    for name in ("../other", "a/./b"):
        message = refused(lambda: client.detect_faces(Image=image(name)), "InvalidS3ObjectException")  # noqa: B023
        assert message.startswith("Unable to get object metadata from S3. Check object key")
        assert "dots" in message
    for missing in (image("nobody.jpg"), image("x", bucket="nobodys")):
        message = refused(lambda: client.detect_faces(Image=missing), "InvalidS3ObjectException")  # noqa: B023
        assert message == ("Unable to get object metadata from S3. Check object key, region and/or access permissions.")
    refused(lambda: client.detect_faces(Image=image("large.jpg")), "ImageTooLargeException")
    incomplete = {"S3Object": {"Bucket": "photos"}}
    message = refused(lambda: client.detect_faces(Image=incomplete), "InvalidParameterException")
    assert "S3Object.Name" in message


def test_redirects_are_not_followed(strict_tenant: Tenant, elsewhere: str) -> None:
    choose(strict_tenant, elsewhere).raise_for_status()
    message = refused(lambda: strict_tenant.client().detect_faces(Image=image("x.jpg")), "InvalidS3ObjectException")
    assert "redirects are not followed" in message
    assert REDIRECTED == ["/photos/x.jpg"]


def test_only_what_the_operator_allows_can_be_set(strict_tenant: Tenant) -> None:
    for endpoint in ("http://169.254.169.254", "http://127.0.0.1:1", "http://localhost:22", "file:///etc/passwd"):
        answer = choose(strict_tenant, endpoint)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "endpoint")
    assert strict_tenant.native.get("/object-store").status_code == 404


def test_the_secret_is_nowhere_to_be_read(strict_tenant: Tenant, bucket: str) -> None:
    choose(strict_tenant, bucket).raise_for_status()
    assert "s3 secret" not in strict_tenant.native.get("/object-store").text
    assert "s3 secret" not in strict_tenant.native.get("/audit").text
    message = refused(lambda: strict_tenant.client().detect_faces(Image=image("nobody")), "InvalidS3ObjectException")
    assert "s3 secret" not in message
