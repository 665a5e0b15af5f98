"""AWS Signature Version 4: whether a request was signed with an access key's secret, and not changed since.

Pure functions; the secret and the clock come from outside. Source: AWS General Reference, "Signature Version 4 signing
process"; the headers are those that botocore signs for JSON services.
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
_NEEDED = frozenset({"host", "x-amz-date", "x-amz-target"})
_UNRESERVED = "-_.~"

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=(?P<key>[A-Za-z0-9]{{1,128}})/(?P<date>\d{{8}})/(?P<region>[a-z0-9-]{{1,64}})"
    r"/(?P<service>[a-z0-9-]{1,64})/aws4_request, ?SignedHeaders=(?P<headers>[a-z0-9;-]{1,1024}), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


class SignatureFault(StrEnum):
    """Why a signature is not believed."""

    MISSING = "missing"
    INCOMPLETE = "incomplete"
    SESSION_TOKEN = "session_token"  # noqa: S105 - the name of a fault
    WRONG_SCOPE = "wrong_scope"
    SKEWED = "skewed"
    MISMATCH = "mismatch"


class SignatureRefused(Exception):
    """A request whose signature is not believed; the message names the part, never a secret."""

    def __init__(self, fault: SignatureFault, detail: str) -> None:
        self.fault = fault
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What was signed. `headers` have lower-case names; `path` and `query` are as they were sent."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """What the `Authorization` header says: which key, for when and where, over which headers."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    signed_at: datetime


def read_claim(request: SignedRequest, *, service: str, now: datetime) -> Claim:
    """The claim of a request, before any secret is looked up; raises `SignatureRefused`.

    Checked here: that it is there and whole, made for this service, of these last minutes, over the headers that must
    not change. Keys of sessions are not issued, so a session token is refused by name.
    """
    given = request.headers.get("authorization", "")
    if not given:
        raise SignatureRefused(SignatureFault.MISSING, "The request is not signed: there is no Authorization header.")
    found = _AUTHORIZATION.fullmatch(given.strip())
    if found is None:
        raise SignatureRefused(
            SignatureFault.INCOMPLETE,
            f"The Authorization header must be `{ALGORITHM} Credential=.../SignedHeaders=.../Signature=...`.",
        )
    if "x-amz-security-token" in request.headers:
        raise SignatureRefused(
            SignatureFault.SESSION_TOKEN, "Session tokens are not issued here: sign with a permanent access key."
        )
    signed = tuple(found["headers"].split(";"))
    missing = _NEEDED - set(signed)
    if missing or list(signed) != sorted(set(signed)) or not all(name in request.headers for name in signed):
        raise SignatureRefused(
            SignatureFault.INCOMPLETE,
            f"SignedHeaders must name, sorted, headers that were sent, with {', '.join(sorted(_NEEDED))} among them.",
        )
    if found["service"] != service:
        raise SignatureRefused(
            SignatureFault.WRONG_SCOPE, f"The credential is scoped to {found['service']!r}, not to {service!r}."
        )
    signed_at = _read_time(request.headers["x-amz-date"])
    if signed_at.strftime("%Y%m%d") != found["date"]:
        raise SignatureRefused(SignatureFault.WRONG_SCOPE, "The credential's date is not that of X-Amz-Date.")
    if abs(now - signed_at) > MAX_SKEW:
        raise SignatureRefused(
            SignatureFault.SKEWED,
            f"Signed at {signed_at:%Y%m%dT%H%M%SZ}, now it is {now.astimezone(UTC):%Y%m%dT%H%M%SZ}; "
            f"{MAX_SKEW.seconds // 60} minutes apart are the most.",
        )
    return Claim(found["key"], found["date"], found["region"], found["service"], signed, found["signature"], signed_at)


def check_signature(request: SignedRequest, claim: Claim, secret: str) -> None:
    """Raises `SignatureRefused` unless the secret signed this very request; in constant time."""
    expected = sign(request, claim, secret)
    if not hmac.compare_digest(expected, claim.signature):
        raise SignatureRefused(
            SignatureFault.MISMATCH,
            "The signature does not fit the request: check the secret key, and that no proxy changes host or path.",
        )


def sign(request: SignedRequest, claim: Claim, secret: str) -> str:
    """The signature of a request under a claim (its own `signature` is not looked at)."""
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
        quote(request.path, safe="/" + _UNRESERVED) or "/",  # encoded as sent, then once more, as botocore does
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
            SignatureFault.INCOMPLETE, "X-Amz-Date must be a time in UTC, as 20260117T120000Z."
        ) from None
