"""Alter access and refresh tokens: most are signed with the service's own key, so that only their content is wrong."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from app.security.keyring import Keyring

_CLAIMS = ("iss", "aud", "sub", "tid", "sid", "gen", "jti", "iat", "exp")
_MISTYPED: dict[str, tuple[str, ...]] = {
    "exp": ('"9999999999"', "9999999999.5", "1e300", "1e999", "Infinity", "NaN", "null", "true", "[9999999999]", "{}",
            "9" * 400, "-1", "0", "253402300800", "9223372036854775808", '"never"'),
    "gen": ('"0"', "0.0", "1e0", "true", "null", "-1", "2147483648", "9" * 400, "Infinity", "NaN", "[0]", "{}", '""'),
    "iat": ('"1"', "1.5", "null", "true", "Infinity", "-1", "9" * 400, "[]", "253402300800"),
    "sub": ('""', '"admin"', "7", "null", "[]", '"00000000-0000-0000-0000-00000000000\\u0000"', '"' + "f" * 31 + '"'),
    "tid": ('"\' OR 1=1"', "7", "null", "{}", '"*"', '""'),
    "sid": ('""', "null", "0", "[]", '"*"'),
    "aud": ('["access","refresh"]', "null", '""', '"*"', "{}", "true", '"ACCESS"', '["access"]'),
    "iss": ('"evil"', "null", '["vultus"]', '"Vultus"', '""'),
    "jti": ("null", "7", "[]", "{}"),
}  # fmt: skip


def decode(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a token, unverified."""
    header, claims, _ = token.split(".")
    return json.loads(_unbase(header)), json.loads(_unbase(claims))


def seal(header: str, claims: str, key: bytes, digest: Any = hashlib.sha256) -> str:
    """Return a token of these JSON texts, signed with the key whatever they say."""
    signed = f"{_base(header.encode())}.{_base(claims.encode())}"
    return f"{signed}.{_base(hmac.new(key, signed.encode(), digest).digest())}"


def alter_token(token: str, secret: bytes, other: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield alterations of a token by name; `other` are the claims of another tenant's token of the same kind."""
    key = Keyring([secret]).current("tokens")[1]
    yield from _alter_text(token)
    yield from _alter_header(token, key, secret)
    yield from _alter_claims(token, key, other)


def reseal(token: str, secret: bytes) -> str:
    """Return the same token, signed again by this module, which must be accepted."""
    header, claims = decode(token)
    return seal(json.dumps(header), json.dumps(claims), Keyring([secret]).current("tokens")[1])


def _alter_text(token: str) -> Iterator[tuple[str, str]]:
    header, claims, signature = token.split(".")
    yield from {
        "no signature": f"{header}.{claims}.",
        "two parts": f"{header}.{claims}",
        "four parts": f"{token}.{signature}",
        "signature reversed": f"{header}.{claims}.{signature[::-1]}",
        "signature truncated": token[:-1],
        "signature longer": token + "A",
        "signature padded": token + "=",
        "standard base64": f"{header}.{claims}.{signature[:-3]}+/=",
        "claims truncated": f"{header}.{claims[:-4]}.{signature}",
        "header repeated": f"{header}{header}.{claims}.{signature}",
        "space inside": f"{header}.{claims[:9]} {claims[9:]}.{signature}",
        "tab at the end": f"{token}\tx",
        "quoted": f'"{token}"',
        "unicode dot": token.replace(".", "\u3002"),
        "full-width letter": token.replace("e", "\uff45", 1),
        "zero-width space": token[:20] + "\u200b" + token[20:],
        "percent-encoded": token.replace(".", "%2E"),
        "upper case": token.upper(),
        "very long": token + "A" * 7000,
        "two tokens": f"{token},{token}",
        "only dots": "..",
        "the word null": "null",
    }.items()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place in (-2, -20, -43):
        changed = letters[(letters.index(token[place]) + 1) % 64]
        yield f"signature, letter {place}", token[:place] + changed + token[len(token) + place + 1 :]
    yield "signature, padding bits", token[:-1] + letters[letters.index(token[-1]) ^ 1]


def _alter_header(token: str, key: bytes, secret: bytes) -> Iterator[tuple[str, str]]:
    header, claims = decode(token)
    body = json.dumps(claims)
    signature = token.rpartition(".")[2]

    def sealed(**changes: Any) -> str:
        return seal(json.dumps({**header, **changes}), body, key)

    for alg in ("none", "None", "NONE", "nOnE", "", "RS256", "ES256", "HS384", "HS512", "hs256", "dir"):
        yield f"alg {alg!r}, own signature", sealed(alg=alg)
        yield f"alg {alg!r}, no signature", sealed(alg=alg).rpartition(".")[0] + "."
    yield "alg HS512, signed so", seal(json.dumps({**header, "alg": "HS512"}), body, key, hashlib.sha512)
    yield "alg HS384, signed so", seal(json.dumps({**header, "alg": "HS384"}), body, key, hashlib.sha384)
    for odd in (None, ["HS256"], {"HS256": 1}, 256, True):
        yield f"alg {odd!r}", sealed(alg=odd)
    yield "alg missing", seal(json.dumps({"typ": "JWT", "kid": header["kid"]}), body, key)
    yield "alg twice", seal('{"alg":"none",' + json.dumps(header)[1:-1] + ',"alg":"none"}', body, key)
    extra: dict[str, Any]
    for extra in ({"crit": ["exp"]}, {"crit": []}, {"jwk": {"kty": "oct", "k": "AA"}}, {"jku": "https://evil.example"},
                  {"x5u": "https://evil.example"}, {"x5c": ["AA"]}, {"b64": False}, {"zip": "DEF"}):  # fmt: skip
        yield f"header {extra}", seal(json.dumps({**header, **extra}), body, key)
    for kid in (None, "", "00000000", "../../dev/null", 0, ["x"], header["kid"].upper() + " ", "' OR 1=1"):
        yield f"kid {kid!r}", sealed(kid=kid)
    for typ in ("JWE", "at+jwt", "", None, ["JWT"]):
        yield f"typ {typ!r}", sealed(typ=typ)
    for name, wrong in {
        "the secret itself": secret,
        "an empty key": b"",
        "another key": b"x" * 32,
        "the kid": b"kid",
    }.items():
        yield f"signed with {name}", seal(json.dumps(header), body, wrong)
    for purpose in ("cursors", "api-keys", "receipts", "idempotency"):
        yield f"signed with the key of {purpose}", seal(json.dumps(header), body, Keyring([secret]).current(purpose)[1])
    yield "header no object", seal("[1]", body, key)
    yield "header no JSON", seal("xx", body, key)
    yield "header nested deep", seal("[" * 300 + "]" * 300, body, key)
    yield "signature of the original", f"{sealed(kid='x').rpartition('.')[0]}.{signature}"


def _alter_claims(token: str, key: bytes, other: dict[str, Any]) -> Iterator[tuple[str, str]]:
    header, claims = decode(token)
    head = json.dumps(header)
    for claim in _CLAIMS:
        yield f"without {claim}", seal(head, json.dumps({k: v for k, v in claims.items() if k != claim}), key)
        for text in _MISTYPED[claim]:
            written = {k: json.dumps(v) for k, v in claims.items()} | {claim: text}
            body = "{" + ",".join(f'"{k}":{v}' for k, v in written.items()) + "}"
            yield f"{claim} {text[:30]}", seal(head, body, key)
    for names in (("tid",), ("sub",), ("sid",), ("tid", "sub"), ("tid", "sid"), ("sub", "sid")):
        yield (
            f"{' and '.join(names)} of another tenant",
            seal(head, json.dumps(claims | {name: other[name] for name in names}), key),
        )
    for claim in ("tid", "sid"):
        yield f"{claim} of nobody", seal(head, json.dumps(claims | {claim: str(uuid4())}), key)
    kind = "refresh" if claims["aud"] == "access" else "access"
    yield "the other kind, by aud", seal(head, json.dumps(claims | {"aud": kind}), key)
    yield "expired", seal(head, json.dumps(claims | {"exp": 1_000_000_000}), key)
    yield "not yet valid", seal(head, json.dumps(claims | {"nbf": 99_999_999_999}), key)
    yield "claims no object", seal(head, "[1]", key)
    yield "claims no JSON", seal(head, "xx", key)
    yield "claims a lone surrogate", seal(head, '"\\ud800"', key)
    yield "changed after signing", _swap_claims(token, claims | {"tid": other["tid"]})


def _swap_claims(token: str, claims: dict[str, Any]) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{_base(json.dumps(claims).encode())}.{signature}"


def _base(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unbase(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
