"""Values that we sign: whatever a holder of the key could put into them, reading them refuses or returns."""

import json
from typing import Any
from uuid import uuid4

import pytest
from jose import jwk, jwt
from jose.utils import base64url_encode

from app.errors import AuthenticationFailed, InvalidCursor, TokenInvalid
from app.security.cursors import CursorSigner, read_number, read_numbered, read_text
from app.security.keyring import Keyring
from app.security.receipts import SignedReceipt, is_valid_receipt
from app.security.tokens import TokenClaims, TokenIssuer, TokenKind
from tests.unit.test_tokens import CLAIMS, SECRET, issuer

GALLERY = "0123456789abcdef0123456789abcdef"
KEYRING = Keyring([SECRET])
INFINITE, NEGATIVE_INFINITE, UNDEFINED = "Infinity", "-Infinity", "NaN"
NUMBERS = [
    INFINITE, NEGATIVE_INFINITE, UNDEFINED, "1e400", "-1e400", "1e15", '"99999999999"', "true", "null", "[]", "{}",
    "-1", "99999999999.5", "1" + "0" * 400,
]  # fmt: skip


def signed(claims: dict[str, str]) -> str:
    """A token with our signature, whose claims are the given JSON texts."""
    payload = jwt.get_unverified_claims(issuer().issue(TokenKind.ACCESS, CLAIMS))
    texts = {name: json.dumps(value) for name, value in payload.items()} | claims
    kid, key = KEYRING.current("tokens")
    header = base64url_encode(json.dumps({"alg": "HS256", "typ": "JWT", "kid": kid}).encode())
    body = base64url_encode(("{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}").encode())
    signature = base64url_encode(jwk.construct(key, "HS256").sign(header + b"." + body))
    return (header + b"." + body + b"." + signature).decode()


def test_the_signature_of_these_tests_is_accepted() -> None:
    assert issuer().read(TokenKind.ACCESS, signed({})) == CLAIMS


@pytest.mark.parametrize("claim", ["exp", "iat", "gen"])
@pytest.mark.parametrize("number", NUMBERS)
def test_a_signed_number_that_is_none_or_out_of_range_is_refused(claim: str, number: str) -> None:
    with pytest.raises(AuthenticationFailed):
        issuer().read(TokenKind.ACCESS, signed({claim: number}))


def test_a_generation_beyond_the_column_is_refused() -> None:
    with pytest.raises(TokenInvalid):
        issuer().read(TokenKind.ACCESS, signed({"gen": "1000000000000"}))
    most = 2**31 - 1
    claims = TokenClaims(CLAIMS.user_id, CLAIMS.tenant_id, CLAIMS.session_id, most)
    assert issuer().read(TokenKind.ACCESS, signed({"gen": str(most)})) == claims


@pytest.mark.parametrize("number", [INFINITE, '"soon"', "[]", "1e400"])
def test_a_start_that_is_no_time_is_refused(number: str) -> None:
    with pytest.raises(TokenInvalid):
        issuer().read(TokenKind.ACCESS, signed({"nbf": number}))


@pytest.mark.parametrize("claim", ["sub", "tid", "sid", "jti", "iss", "aud"])
@pytest.mark.parametrize("value", ["1", INFINITE, "[]", "{}", "null", "true", '{"a":1}', '["access"]'])
def test_a_signed_text_of_another_type_is_refused(claim: str, value: str) -> None:
    with pytest.raises(TokenInvalid):
        issuer().read(TokenKind.ACCESS, signed({claim: value}))


@pytest.mark.parametrize(
    "position", ["", ":", "x", "x:1", GALLERY, f"{GALLERY}:", f"{GALLERY}:x", f"{GALLERY}:-1", f"{GALLERY}:{2**63}",
                 "1" * 900]
)  # fmt: skip
def test_a_cursor_with_a_wrong_position_is_refused(position: str) -> None:
    signer = CursorSigner(KEYRING)
    with pytest.raises(InvalidCursor):
        signer.open("faces", signer.sign("faces", position), read_numbered)


@pytest.mark.parametrize("position", ["", "x", "1.5", "-1", str(2**63), "9" * 900, "inf"])
def test_a_cursor_with_a_wrong_number_is_refused(position: str) -> None:
    signer = CursorSigner(KEYRING)
    with pytest.raises(InvalidCursor):
        signer.open("audit", signer.sign("audit", position), read_number)


@pytest.mark.parametrize("position", ["a\0b", None, 7, 1e300, ["a"], {"a": 1}, True])
def test_a_cursor_with_a_wrong_text_is_refused(position: Any) -> None:
    signer = CursorSigner(KEYRING)
    with pytest.raises(InvalidCursor):
        signer.open("subjects", signer.sign("subjects", position), read_text)


def test_cursors_return_what_was_signed() -> None:
    signer, gallery = CursorSigner(KEYRING), uuid4()
    assert signer.open("faces", signer.sign("faces", f"{gallery.hex}:12"), read_numbered) == (gallery, 12)
    assert signer.open("audit", signer.sign("audit", str(2**63 - 1)), read_number) == 2**63 - 1


@pytest.mark.parametrize("text", ["", "é", "====", "A" * 10_000, "\0"])
def test_a_receipt_with_damaged_texts_is_invalid(text: str) -> None:
    receipt = SignedReceipt({"erased": 1}, text, text)
    assert not is_valid_receipt(receipt, text)


def test_tokens_of_the_wrong_shape_are_refused_for_refreshing_too() -> None:
    tokens: TokenIssuer = issuer()
    with pytest.raises(TokenInvalid):
        tokens.read(TokenKind.REFRESH, signed({"aud": '"refresh"', "gen": "1000000000000"}))
