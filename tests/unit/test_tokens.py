"""Tokens: good ones are read, everything else is refused without a word on why."""

import base64
import json
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from jose import jwt

from app.errors import TokenExpired, TokenInvalid
from app.security.keyring import Keyring
from app.security.keys import derive_key
from app.security.tokens import TokenClaims, TokenIssuer, TokenKind

SECRET = b"a secret for tests only, 32 bytes or more"
CLAIMS = TokenClaims(uuid4(), uuid4(), uuid4(), 3)


def issuer(secret: bytes = SECRET, minutes: float = 15) -> TokenIssuer:
    return TokenIssuer(
        Keyring([secret]), access_lifetime=timedelta(minutes=minutes), refresh_lifetime=timedelta(days=1)
    )


def b64(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_a_token_says_what_was_put_in() -> None:
    for kind in TokenKind:
        assert issuer().read(kind, issuer().issue(kind, CLAIMS)) == CLAIMS


def test_one_kind_never_passes_for_the_other() -> None:
    with pytest.raises(TokenInvalid):
        issuer().read(TokenKind.ACCESS, issuer().issue(TokenKind.REFRESH, CLAIMS))
    with pytest.raises(TokenInvalid):
        issuer().read(TokenKind.REFRESH, issuer().issue(TokenKind.ACCESS, CLAIMS))


def test_an_expired_token_is_told_apart() -> None:
    with pytest.raises(TokenExpired):
        issuer().read(TokenKind.ACCESS, issuer(minutes=-1).issue(TokenKind.ACCESS, CLAIMS))


def test_a_token_that_was_read_before_still_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = issuer(minutes=15)
    token = reader.issue(TokenKind.ACCESS, CLAIMS)
    assert reader.read(TokenKind.ACCESS, token) == reader.read(TokenKind.ACCESS, token) == CLAIMS
    later = time.time() + 15 * 60 + 1
    monkeypatch.setattr("app.security.tokens.time.time", lambda: later)
    with pytest.raises(TokenExpired):
        reader.read(TokenKind.ACCESS, token)


def test_a_token_that_was_read_before_is_of_no_other_kind() -> None:
    reader = issuer()
    token = reader.issue(TokenKind.ACCESS, CLAIMS)
    assert reader.read(TokenKind.ACCESS, token) == CLAIMS
    with pytest.raises(TokenInvalid):
        reader.read(TokenKind.CONSOLE, token)


GENUINE = issuer().issue(TokenKind.ACCESS, CLAIMS)


def forged() -> dict[str, str]:
    good = GENUINE
    header, body, signature = good.split(".")
    head: dict[str, Any] = jwt.get_unverified_header(good)
    payload: dict[str, Any] = jwt.get_unverified_claims(good)
    key = derive_key(SECRET, "tokens")

    def signed(changes: dict[str, Any], headers: dict[str, Any] | None = None, drop: str | None = None) -> str:
        claims = {name: value for name, value in {**payload, **changes}.items() if name != drop}
        token: str = jwt.encode(claims, key, algorithm="HS256", headers={"kid": head["kid"], **(headers or {})})
        return token

    cases = {
        "empty": "",
        "one part": "x",
        "two dots": "..",
        "no signature": f"{header}.{body}.",
        "another's secret": issuer(b"another secret of thirty-two bytes!!").issue(TokenKind.ACCESS, CLAIMS),
        "alg none": f"{b64({**head, 'alg': 'none'})}.{body}.",
        "alg None": f"{b64({**head, 'alg': 'None'})}.{body}.{signature}",
        "alg HS512": jwt.encode(payload, key, algorithm="HS512", headers={"kid": head["kid"]}),
        "alg RS256": f"{b64({**head, 'alg': 'RS256'})}.{body}.{signature}",
        "alg missing": f"{b64({'typ': 'JWT', 'kid': head['kid']})}.{body}.{signature}",
        "alg a list": f"{b64({**head, 'alg': ['HS256']})}.{body}.{signature}",
        "crit": signed({}, {"crit": ["exp"]}),
        "jwk": signed({}, {"jwk": {"kty": "oct"}}),
        "jku": signed({}, {"jku": "https://evil.example/keys"}),
        "kid missing": jwt.encode(payload, key, "HS256"),
        "kid of another": signed({}, {"kid": "00000000"}),
        "kid a path": signed({}, {"kid": "../../dev/null"}),
        "body swapped": f"{header}.{b64({**payload, 'tid': str(uuid4())})}.{signature}",
        "signature flipped": f"{header}.{body}.{signature[::-1]}",
        "signature short": f"{header}.{body}.{signature[:-8]}",
        "padding": good + "=",
        "another spelling of the signature": good[:-1] + chr(ord(good[-1]) + 1),
        "space": " " + good,
        "other issuer": signed({"iss": "evil"}),
        "other audience": signed({"aud": "refresh"}),
        "audience list": signed({"aud": ["access", "refresh"]}),
        "audience null": signed({"aud": None}),
        "subject no uuid": signed({"sub": "admin"}),
        "tenant no uuid": signed({"tid": "' OR 1=1"}),
        "tenant number": signed({"tid": 7}),
        "session null": signed({"sid": None}),
        "generation text": signed({"gen": "0"}),
        "generation true": signed({"gen": True}),
        "expiry text": signed({"exp": "never"}),
        "issued in text": signed({"iat": "now"}),
        "body a list": f"{header}.{b64([1])}.{signature}",
        "body not json": f"{header}.{b64(b'xx')}.{signature}",
        "header not json": f"{b64(b'xx')}.{body}.{signature}",
        "header a list": f"{b64([1])}.{body}.{signature}",
        "very long": "a." * 5000,
        "not ascii": "é.é.é",
        "null byte": "\0.\0.\0",
        "not yet valid": signed({"nbf": 99_999_999_999}),
    }
    cases |= {f"without {claim}": signed({}, drop=claim) for claim in ("iss", "aud", "sub", "tid", "sid", "gen")}
    cases |= {f"without {claim}": signed({}, drop=claim) for claim in ("exp", "iat", "jti")}
    return cases


FORGED = forged()


def test_the_corpus_is_large_enough() -> None:
    assert len(FORGED) >= 40


@pytest.mark.parametrize("case", FORGED)
def test_no_forged_token_is_accepted(case: str) -> None:
    reader = issuer()
    reader.read(TokenKind.ACCESS, GENUINE)  # what it remembers of the original must not help a forgery
    with pytest.raises(TokenInvalid) as raised:
        reader.read(TokenKind.ACCESS, FORGED[case])
    assert raised.value.detail == TokenInvalid().detail


def test_the_signing_secret_can_roll() -> None:
    old, new = SECRET, b"a newer secret, thirty-two bytes or more"
    lifetimes = {"access_lifetime": timedelta(minutes=5), "refresh_lifetime": timedelta(days=1)}
    rolled = TokenIssuer(Keyring([new, old]), **lifetimes)
    assert rolled.read(TokenKind.ACCESS, issuer(old).issue(TokenKind.ACCESS, CLAIMS)) == CLAIMS
    assert issuer(new).read(TokenKind.ACCESS, rolled.issue(TokenKind.ACCESS, CLAIMS)) == CLAIMS
    with pytest.raises(TokenInvalid):
        issuer(new).read(TokenKind.ACCESS, issuer(old).issue(TokenKind.ACCESS, CLAIMS))
