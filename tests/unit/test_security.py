"""Cursors, passwords, keys, permissions."""

import asyncio
import base64
from uuid import uuid4

import pytest

from app.errors import InvalidCursor, Overloaded
from app.permissions import ROLE_PERMISSIONS, Permission, Plan, Principal, Role, permissions_of
from app.security.access_keys import decrypt_secret, encrypt_secret, generate_access_key
from app.security.cursors import CursorSigner, read_text
from app.security.keyring import Keyring
from app.security.keys import derive_key
from app.security.passwords import MAX_WAITING, PasswordHasher, generate_password
from app.security.secret_tokens import SecretToken, TokenPrefix

SECRET = b"a secret for tests only, 32 bytes or more"


def test_a_cursor_opens_only_in_its_own_list() -> None:
    signer = CursorSigner(Keyring([SECRET]))
    cursor = signer.sign("tenant-a/collections", "visitors é")
    assert signer.open("tenant-a/collections", cursor, read_text) == "visitors é"
    with pytest.raises(InvalidCursor):
        signer.open("tenant-b/collections", cursor, read_text)
    with pytest.raises(InvalidCursor):
        CursorSigner(Keyring([SECRET[::-1]])).open("tenant-a/collections", cursor, read_text)


@pytest.mark.parametrize("cursor", ["", "x", "====", "é", "A" * 2000, "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "\0"])
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        CursorSigner(Keyring([SECRET])).open("scope", cursor, read_text)


def test_keys_of_two_purposes_differ() -> None:
    assert derive_key(SECRET, "tokens") != derive_key(SECRET, "cursors")
    assert len(derive_key(SECRET, "tokens")) == 32


async def test_passwords_are_argon2id_and_salted() -> None:
    hasher = PasswordHasher()
    one, two = await hasher.hash("correct horse"), await hasher.hash("correct horse")
    assert one != two
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.verify("correct horse", one)
    assert not await hasher.verify("wrong horse", one)
    hasher.close()


@pytest.mark.parametrize("password", ["", "with\0null", "\ud800", "x" * 5000])
async def test_no_password_makes_the_hasher_fail(password: str) -> None:
    hasher = PasswordHasher()
    hashed = await hasher.hash("correct horse")
    assert not await hasher.verify(password, hashed)
    assert not await hasher.verify(password, None)
    hasher.close()


def test_generated_passwords_are_long_and_differ() -> None:
    assert len({generate_password() for _ in range(50)}) == 50
    assert len(generate_password()) >= 20


def test_the_role_map_is_a_ladder_and_only_admins_delete() -> None:
    viewer, operator, admin = (ROLE_PERMISSIONS[role] for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN))
    assert viewer < operator < admin
    assert {role for role, granted in ROLE_PERMISSIONS.items() if Permission.DELETE in granted} == {Role.ADMIN}
    assert Permission.REGISTER not in viewer
    assert Permission.READ_EMBEDDINGS not in viewer


def test_a_principal_may_what_it_is_permitted() -> None:
    viewer = Principal(uuid4(), ROLE_PERMISSIONS[Role.VIEWER], Plan("free"), user_id=uuid4(), role=Role.VIEWER)
    assert viewer.may(Permission.RECOGNIZE)
    assert not viewer.may(Permission.DELETE)


def test_a_scope_grants_what_it_says_and_no_more() -> None:
    assert permissions_of(["recognize"]) == {Permission.RECOGNIZE}
    assert Permission.READ_EMBEDDINGS not in permissions_of(["register", "recognize", "delete", "admin"])
    assert permissions_of(["admin"]) == {Permission.ADMIN, Permission.READ}
    assert permissions_of(["a scope of the past"]) == frozenset()


def test_an_api_key_has_256_random_bits_and_hides_them() -> None:
    key = SecretToken.generate(TokenPrefix.API_KEY)
    assert SecretToken.parse(TokenPrefix.API_KEY, key.text) == key
    assert SecretToken.parse(TokenPrefix.GUEST_LINK, key.text) is None
    assert len(base64.urlsafe_b64decode(key.secret + "=")) == 32
    assert key.secret not in repr(key)
    assert len({SecretToken.generate(TokenPrefix.API_KEY).text for _ in range(100)}) == 100


@pytest.mark.parametrize("text", ["", "vk_", "vk_short_x", "sk_" + "a" * 60, "vk_" + "a" * 16 + "_" + "b" * 44, "vk_é"])
def test_what_is_no_api_key(text: str) -> None:
    assert SecretToken.parse(TokenPrefix.API_KEY, text) is None


def test_an_access_keys_secret_is_bound_to_its_id_and_key() -> None:
    pair, key = generate_access_key(), derive_key(SECRET, "access-keys")
    encrypted = encrypt_secret(key, pair.public_id, pair.secret)
    assert pair.secret.encode() not in encrypted
    assert (len(pair.public_id), len(pair.secret)) == (20, 40)
    assert decrypt_secret(key, pair.public_id, encrypted) == pair.secret
    assert decrypt_secret(key, "VKSOMEBODYELSE", encrypted) is None
    assert decrypt_secret(derive_key(SECRET, "other"), pair.public_id, encrypted) is None
    assert decrypt_secret(key, pair.public_id, encrypted[:-1]) is None
    assert decrypt_secret(key, pair.public_id, b"") is None


async def test_more_sign_ins_than_can_be_hashed_in_a_second_are_refused() -> None:
    hasher = PasswordHasher()
    done = await asyncio.gather(*(hasher.hash("correct horse") for _ in range(MAX_WAITING + 6)), return_exceptions=True)
    assert sum(isinstance(result, Overloaded) for result in done) == 6
    assert await hasher.verify("correct horse", next(result for result in done if isinstance(result, str)))
    hasher.close()
