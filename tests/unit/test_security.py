"""Cursors, passwords, permissions."""

from uuid import uuid4

import pytest

from app.errors import InvalidCursor
from app.permissions import ROLE_PERMISSIONS, Permission, Principal, Role
from app.security.cursors import CursorSigner
from app.security.keys import derive_key
from app.security.passwords import PasswordHasher, generate_password

SECRET = b"a secret for tests only, 32 bytes or more"


def test_a_cursor_opens_only_in_its_own_list() -> None:
    signer = CursorSigner(SECRET)
    cursor = signer.sign("tenant-a/collections", "visitors é")
    assert signer.open("tenant-a/collections", cursor) == "visitors é"
    with pytest.raises(InvalidCursor):
        signer.open("tenant-b/collections", cursor)
    with pytest.raises(InvalidCursor):
        CursorSigner(SECRET[::-1]).open("tenant-a/collections", cursor)


@pytest.mark.parametrize("cursor", ["", "x", "====", "é", "A" * 2000, "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "\0"])
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        CursorSigner(SECRET).open("scope", cursor)


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


def test_a_principal_may_what_the_role_may() -> None:
    viewer = Principal(uuid4(), uuid4(), uuid4(), "v@example.com", Role.VIEWER)
    assert viewer.may(Permission.RECOGNIZE)
    assert not viewer.may(Permission.DELETE)
