"""AWS Signature Version 4 against botocore's own signer, and what must not be believed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from app.security.request_signatures import SignatureFault, SignatureRefused, SignedRequest, check_signature, read_claim

KEY, SECRET = "VKAAAAAAAAAAAAAAAAAA", "s3cret/of+forty-characters__and_not_real"
BODY = b'{"CollectionId": "people"}'


def signed_by_botocore(
    *,
    url: str = "https://vultus.example/rekognition",
    region: str = "eu-central-1",
    secret: str = SECRET,
    token: str | None = None,
    headers: dict[str, str] | None = None,
) -> SignedRequest:
    sent = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "RekognitionService.ListFaces",
        **(headers or {}),
    }
    request = AWSRequest("POST", url, data=BODY, headers=sent)
    SigV4Auth(Credentials(KEY, secret, token), "rekognition", region).add_auth(request)
    prepared = request.prepare()
    host, _, rest = url.removeprefix("https://").partition("/")
    path, _, query = rest.partition("?")
    received = {name.lower(): value for name, value in prepared.headers.items()}
    return SignedRequest("POST", f"/{path}", query, {"host": host, **received}, BODY)


def now_of(request: SignedRequest) -> datetime:
    return datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def verify(request: SignedRequest, *, secret: str = SECRET, now: datetime | None = None) -> str:
    claim = read_claim(request, service="rekognition", now=now or now_of(request))
    check_signature(request, claim, secret)
    return claim.access_key_id


def fault(request: SignedRequest, **options: object) -> SignatureFault:
    with pytest.raises(SignatureRefused) as refused:
        verify(request, **options)  # type: ignore[arg-type]
    assert SECRET not in str(refused.value)
    return refused.value.fault


@pytest.mark.parametrize(
    "url",
    [
        "https://vultus.example/rekognition",
        "https://vultus.example:8443/rekognition",
        "https://vultus.example/",
        "https://vultus.example/a%20b/rekognition",
        "https://vultus.example/rekognition?b=2&a=1&a=%C3%A4&empty=",
    ],
)
@pytest.mark.parametrize("region", ["eu-central-1", "us-east-1"])
def test_what_botocore_signed_is_believed(url: str, region: str) -> None:
    assert verify(signed_by_botocore(url=url, region=region)) == KEY


def test_headers_with_much_space_are_signed_as_they_are_normalized() -> None:
    assert verify(signed_by_botocore(headers={"X-Amz-Meta": "  a   b  "})) == KEY


def test_whatever_was_signed_must_not_change() -> None:
    good = signed_by_botocore()
    headers = dict(good.headers)
    assert fault(good, secret=SECRET[:-1] + "x") is SignatureFault.MISMATCH
    assert fault(replace(good, body=BODY + b" ")) is SignatureFault.MISMATCH
    assert fault(replace(good, method="PUT")) is SignatureFault.MISMATCH
    assert fault(replace(good, path="/other")) is SignatureFault.MISMATCH
    assert fault(replace(good, query="a=1")) is SignatureFault.MISMATCH
    for name, value in (("host", "elsewhere.example"), ("x-amz-target", "RekognitionService.DeleteCollection")):
        assert fault(replace(good, headers={**headers, name: value})) is SignatureFault.MISMATCH
    forged = headers["authorization"].replace("eu-central-1", "us-east-1")
    assert fault(replace(good, headers={**headers, "authorization": forged})) is SignatureFault.MISMATCH
    given = headers["authorization"]
    another = given[:-1] + ("1" if given.endswith("0") else "0")
    assert fault(replace(good, headers={**headers, "authorization": another})) is SignatureFault.MISMATCH


def test_old_and_early_signatures_are_refused() -> None:
    good = signed_by_botocore()
    for minutes in (-5, 0, 5):
        assert verify(good, now=now_of(good) + timedelta(minutes=minutes)) == KEY
    for minutes in (-6, 6, 24 * 60):
        assert fault(good, now=now_of(good) + timedelta(minutes=minutes)) is SignatureFault.SKEWED


def test_what_is_missing_is_named() -> None:
    good = signed_by_botocore()
    headers = dict(good.headers)
    authorization = headers["authorization"]

    def with_authorization(value: str) -> SignedRequest:
        return replace(good, headers={**headers, "authorization": value})

    assert fault(replace(good, headers={}), now=now_of(good)) is SignatureFault.MISSING
    for wrong in (
        "Bearer token",
        "AWS4-HMAC-SHA256",
        authorization.replace("Signature=", "Signatur="),
        authorization.replace(";x-amz-target", ""),
        authorization.replace("host;", ""),
        authorization.replace("content-type;host", "host;content-type"),
        authorization.replace("content-type;host", "content-type;host;host"),
        authorization.replace("content-type", "content-typo"),
        authorization.replace("/aws4_request", ""),
    ):
        assert fault(with_authorization(wrong)) is SignatureFault.INCOMPLETE, wrong
    assert fault(replace(good, headers={**headers, "x-amz-date": "yesterday"}), now=now_of(good)) is (
        SignatureFault.INCOMPLETE
    )
    assert fault(with_authorization(authorization.replace("/rekognition/", "/s3/"))) is SignatureFault.WRONG_SCOPE
    another_day = authorization.replace(f"/{headers['x-amz-date'][:8]}/", "/20200101/")
    assert fault(with_authorization(another_day)) is SignatureFault.WRONG_SCOPE


def test_session_tokens_are_refused_by_name() -> None:
    assert fault(signed_by_botocore(token="a session's token")) is SignatureFault.SESSION_TOKEN
