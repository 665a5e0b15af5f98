"""AWS Signature Version 4: verifies that a request was signed with an access key's secret and not altered since.

Pure functions; the caller supplies the secret and the clock. Source: AWS General Reference, "Signature Version 4
signing process". The required headers are those that botocore signs for JSON services.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import parse_qsl, quote

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW = timedelta(minutes=5)
_REQUIRED_HEADERS = frozenset({"host", "x-amz-date", "x-amz-target"})
_UNRESERVED = "-_.~"

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=(?P<key>[A-Za-z0-9]{{1,128}})/(?P<date>\d{{8}})/(?P<region>[a-z0-9-]{{1,64}})"
    r"/(?P<service>[a-z0-9-]{1,64})/aws4_request, ?SignedHeaders=(?P<headers>[a-z0-9;-]{1,1024}), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


class SignatureFault(StrEnum):
    """Why a signature was rejected."""

    MISSING = "missing"
    INCOMPLETE = "incomplete"
    SESSION_TOKEN = "session_token"  # noqa: S105 - the name of a fault
    WRONG_SCOPE = "wrong_scope"
    SKEWED = "skewed"
    MISMATCH = "mismatch"


class SignatureRefused(Exception):
    """The request's signature was rejected; the message names the wrong part, never a secret."""

    def __init__(self, fault: SignatureFault, detail: str) -> None:
        self.fault = fault
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The signed parts of a request. `headers` have lower-case names; `path` and `query` are encoded as sent."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """The contents of the `Authorization` header: access key, credential scope, signed headers, signature."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    signed_at: datetime


def read_claim(request: SignedRequest, *, service: str, now: datetime) -> Claim:
    """Read and check the claim of a request, without the secret; raises `SignatureRefused`.

    Checks that the header is complete, its scope names this service, the time is within `MAX_SKEW` of `now`, and all
    required headers are signed. Session tokens are rejected, because the service issues none.
    """
    header = request.headers.get("authorization", "")
    if not header:
        raise SignatureRefused(SignatureFault.MISSING, "The request is not signed: there is no Authorization header.")
    parts = _AUTHORIZATION.fullmatch(header.strip())
    if parts is None:
        raise SignatureRefused(
            SignatureFault.INCOMPLETE,
            f"The Authorization header must be `{ALGORITHM} Credential=.../SignedHeaders=.../Signature=...`.",
        )
    if "x-amz-security-token" in request.headers:
        raise SignatureRefused(
            SignatureFault.SESSION_TOKEN, "Session tokens are not supported: sign with a permanent access key."
        )
    signed = tuple(parts["headers"].split(";"))
    _check_signed_headers(request, signed)
    if parts["service"] != service:
        raise SignatureRefused(
            SignatureFault.WRONG_SCOPE,
            f"The credential scope names the service {parts['service']!r}; it must be {service!r}.",
        )
    signed_at = _read_time(request.headers["x-amz-date"])
    _check_time(signed_at, parts["date"], now)
    return Claim(parts["key"], parts["date"], parts["region"], parts["service"], signed, parts["signature"], signed_at)


def _check_signed_headers(request: SignedRequest, signed: tuple[str, ...]) -> None:
    missing = _REQUIRED_HEADERS - set(signed)
    if missing or list(signed) != sorted(set(signed)) or not all(name in request.headers for name in signed):
        raise SignatureRefused(
            SignatureFault.INCOMPLETE,
            f"SignedHeaders must be sorted, list only headers of the request, and include "
            f"{', '.join(sorted(_REQUIRED_HEADERS))}.",
        )


def _check_time(signed_at: datetime, date: str, now: datetime) -> None:
    if signed_at.strftime("%Y%m%d") != date:
        raise SignatureRefused(
            SignatureFault.WRONG_SCOPE,
            f"The credential scope's date {date} is not the date of X-Amz-Date, {signed_at:%Y%m%d}.",
        )
    if abs(now - signed_at) > MAX_SKEW:
        raise SignatureRefused(
            SignatureFault.SKEWED,
            f"The request was signed at {signed_at:%Y%m%dT%H%M%SZ}; the server's time is "
            f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}, and at most {MAX_SKEW.seconds // 60} minutes may lie between them. "
            f"Check the client's clock.",
        )


def check_signature(request: SignedRequest, claim: Claim, secret: str) -> None:
    """Verify in constant time that the secret signed exactly this request; raises `SignatureRefused` otherwise."""
    expected = sign(request, claim, secret)
    if not hmac.compare_digest(expected, claim.signature):
        raise SignatureRefused(
            SignatureFault.MISMATCH,
            "The signature does not match the request: check the secret key, and that no proxy changes host or path.",
        )


def sign(request: SignedRequest, claim: Claim, secret: str) -> str:
    """Compute the signature of a request with the claim's scope and headers; ignores the claim's own signature."""
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    canonical = _canonical_request(request, claim.signed_headers)
    text = "\n".join(
        [ALGORITHM, claim.signed_at.strftime("%Y%m%dT%H%M%SZ"), scope, hashlib.sha256(canonical).hexdigest()]
    )
    key = f"AWS4{secret}".encode()
    for part in (claim.date, claim.region, claim.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _canonical_request(request: SignedRequest, signed_headers: tuple[str, ...]) -> bytes:
    pairs = sorted(
        (quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED))
        for name, value in parse_qsl(request.query, keep_blank_values=True)
    )
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in signed_headers)
    lines = [
        request.method,
        quote(request.path, safe="/" + _UNRESERVED) or "/",  # encoded a second time, as botocore does
        "&".join(f"{name}={value}" for name, value in pairs),
        headers,
        ";".join(signed_headers),
        hashlib.sha256(request.body).hexdigest(),
    ]
    return "\n".join(lines).encode()


def _read_time(value: str) -> datetime:
    try:
        return datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise SignatureRefused(
            SignatureFault.INCOMPLETE, "X-Amz-Date must be a UTC time such as 20260117T120000Z."
        ) from None
