"""Whose requests are answered: what a client may get wrong with its keys."""

import socket
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests import pictures
from tests.rekognition.conftest import REGION, Tenant
from tests.rekognition.test_errors import refused

TARGET = "RekognitionService.ListCollections"


def send(tenant: Tenant, body: bytes = b"{}", *, path: str = "/rekognition", **change: str | None) -> httpx.Response:
    """A signed request with headers changed, or taken away, after signing."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": TARGET}
    request = AWSRequest("POST", tenant.base + path, data=body, headers=headers)
    SigV4Auth(Credentials(tenant.access_key_id, tenant.secret), "rekognition", REGION).add_auth(request)
    sent = {**dict(request.headers), **{name.replace("_", "-"): value for name, value in change.items() if value}}
    for name in [name.replace("_", "-") for name, value in change.items() if value is None]:
        del sent[name]
    return httpx.post(tenant.base + path, content=body, headers=sent)


def code(answer: httpx.Response) -> str:
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    said = answer.json()
    assert said["message"]
    return str(said["__type"])


@pytest.mark.parametrize("path", ["/rekognition", "/rekognition/"])
def test_the_path_is_answered_with_and_without_a_slash(tenant: Tenant, path: str) -> None:
    assert tenant.client(path=path).list_collections()["CollectionIds"] == ["default"]
    assert send(tenant, path=path).json()["CollectionIds"] == ["default"]


def test_any_region_is_answered_unless_one_is_set(tenant: Tenant, strict_tenant: Tenant) -> None:
    assert tenant.client(region_name="us-west-2").list_collections()["CollectionIds"] == ["default"]
    assert strict_tenant.client().list_collections()["CollectionIds"] == ["default"]
    elsewhere = strict_tenant.client(region_name="us-west-2")
    assert "us-west-2" in refused(elsewhere.list_collections, "InvalidSignatureException")


def test_a_wrong_secret_an_unknown_key_and_a_revoked_one(tenant: Tenant) -> None:
    wrong = tenant.client(aws_secret_access_key="x" * 40)
    assert "does not match" in refused(wrong.list_collections, "InvalidSignatureException")
    unknown = tenant.client(aws_access_key_id="VK" + "A" * 18)
    refused(unknown.list_collections, "UnrecognizedClientException")
    photo = {"Bytes": b"\0" * 5_000_000}  # a client that has much to send is told nevertheless
    refused(lambda: unknown.detect_faces(Image=photo), "UnrecognizedClientException")
    key, secret = tenant.access_key("admin")
    client = tenant.client(aws_access_key_id=key, aws_secret_access_key=secret)
    assert client.list_collections()
    listed = tenant.native.get("/access-keys").json()["items"]
    key_id = next(item["key_id"] for item in listed if item["public_id"] == key)
    tenant.native.delete(f"/access-keys/{key_id}").raise_for_status()
    refused(client.list_collections, "UnrecognizedClientException")


def test_session_tokens_are_refused_clearly(tenant: Tenant) -> None:
    client = tenant.client(aws_session_token="t" * 100)
    assert "Session tokens" in refused(client.list_collections, "UnrecognizedClientException")


def test_a_request_without_a_signature(tenant: Tenant) -> None:
    assert code(send(tenant, Authorization=None)) == "MissingAuthenticationTokenException"
    assert code(send(tenant, Authorization="Bearer me")) == "IncompleteSignatureException"
    native = str(tenant.native.headers["authorization"])
    assert code(send(tenant, Authorization=native)) == "IncompleteSignatureException"


def test_what_was_changed_after_signing(tenant: Tenant) -> None:
    assert send(tenant).status_code == 200
    assert code(send(tenant, X_Amz_Target="RekognitionService.DeleteCollection")) == "InvalidSignatureException"
    assert code(send(tenant, X_Amz_Date="20200101T000000Z")) == "InvalidSignatureException"
    assert code(send(tenant, host="other.example")) == "InvalidSignatureException"


@pytest.mark.parametrize("name", ["x-amz-target", "x-amz-date"])
def test_a_signed_header_that_is_repeated(tenant: Tenant, name: str) -> None:
    good = {header.lower(): value for header, value in send(tenant).request.headers.items()}
    answer = httpx.post(f"{tenant.base}/rekognition", content=b"{}", headers=[*good.items(), (name, good[name])])
    assert answer.status_code == 400


def test_a_body_that_was_changed_after_signing(tenant: Tenant) -> None:
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": TARGET}
    request = AWSRequest("POST", f"{tenant.base}/rekognition", data=b"{}", headers=headers)
    SigV4Auth(Credentials(tenant.access_key_id, tenant.secret), "rekognition", REGION).add_auth(request)
    answer = httpx.post(f"{tenant.base}/rekognition", content=b'{"MaxResults": 1}', headers=dict(request.headers))
    assert code(answer) == "InvalidSignatureException"


def test_a_clock_that_is_wrong(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: an_hour_ago.replace(tzinfo=None))
    message = refused(tenant.client().list_collections, "InvalidSignatureException")
    assert "minutes" in message


def test_a_body_that_is_no_json(tenant: Tenant) -> None:
    for body in (
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 10_000,
        b'{"a":[' + b"[]," * 60_000 + b"[]]}",
        b'{"MaxResults": ' + b"9" * 10_000 + b"}",
    ):
        assert code(send(tenant, body)) == "SerializationException"
    assert send(tenant, b"").json()["CollectionIds"] == ["default"]
    assert send(tenant, b'{"MadeUp": 1}').json()["CollectionIds"] == ["default"]


def test_the_last_use_of_a_key_is_noted(tenant: Tenant) -> None:
    tenant.client().list_collections()
    (key,) = tenant.native.get("/access-keys").json()["items"]
    noted = datetime.fromisoformat(key["last_used_at"]).timestamp()
    assert abs(noted - time.time()) < 60


def test_a_key_that_did_not_sign_is_not_noted_as_used(tenant: Tenant) -> None:
    refused(tenant.client(aws_secret_access_key="x" * 40).list_collections, "InvalidSignatureException")
    (key,) = tenant.native.get("/access-keys").json()["items"]
    assert key["last_used_at"] is None


def test_what_is_not_signed_holds_no_place_while_it_is_sent(strict_tenant: Tenant) -> None:
    """Sixty bodies that dribble in under made-up credentials, on a server with place for a few photos."""
    host, port = strict_tenant.base.removeprefix("http://").split(":")
    dribbling = []
    for number in range(60):
        connection = socket.create_connection((host, int(port)), timeout=5)
        head = (
            f"POST /rekognition HTTP/1.1\r\nHost: {host}\r\nContent-Length: 14000000\r\n"
            f"Authorization: Bogus{number}\r\nX-Amz-Target: RekognitionService.DetectFaces\r\n\r\n"
        )
        connection.sendall(head.encode() + b"\0" * 1000)
        dribbling.append(connection)
    patient = strict_tenant.client(config={"retries": {"mode": "standard", "total_max_attempts": 5}})
    assert patient.detect_faces(Image={"Bytes": pictures.photo(1)})["FaceDetails"]
    for connection in dribbling:
        connection.close()
