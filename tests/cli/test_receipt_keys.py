"""Receipts of a secret that was removed: with its public key they are genuine, without it the key is unknown."""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from app.security.audit_chain import AuditEntry, SealedEntry
from app.security.keyring import Keyring
from app.services.erasure.receipts import ReceiptSigner
from app.settings import Settings
from tests.commands import Commands

OLD, NEW = "an old secret for tests only of 32 bytes", "a new secret for tests only of 32 bytes"


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    """A receipt that the old secret signed."""
    entry = AuditEntry(uuid4(), 1, datetime.now(UTC), "operator", "subject.erased", "subject:x", {"faces": 2}, None)
    signed = ReceiptSigner(Keyring([OLD.encode()])).sign(SealedEntry(entry, "key", b"previous", b"seal"))
    file = tmp_path / "receipt.json"
    file.write_text(
        json.dumps({"receipt": dict(signed.receipt), "public_key": signed.public_key, "signature": signed.signature})
    )
    return file


def test_a_removed_secret_is_not_a_forgery(receipt: Path, commands: Commands, tmp_path: Path) -> None:
    key = json.loads(receipt.read_text())["public_key"]

    def verify(**env: str) -> tuple[int, str, str]:
        own = {"VULTUS_SECRET_KEY": NEW, **env}
        done = commands.run("receipts", "verify", str(receipt), env=own, directory=tmp_path)
        return done.returncode, done.stdout, done.stderr

    assert verify(VULTUS_PREVIOUS_SECRET_KEYS=OLD) == (0, "Genuine.\n", "")
    code, out, err = verify()
    assert (code, out) == (1, "")
    assert err.startswith("vultus: Unknown key: the receipt is unchanged")
    assert key in err
    assert "VULTUS_PREVIOUS_RECEIPT_KEYS" in err
    assert verify(VULTUS_PREVIOUS_RECEIPT_KEYS=key) == (0, "Genuine.\n", "")
    changed = json.loads(receipt.read_text())
    changed["receipt"]["faces"] = 7
    receipt.write_text(json.dumps(changed))
    for env in ({}, {"VULTUS_PREVIOUS_RECEIPT_KEYS": key}):
        code, out, _ = verify(**env)
        assert (code, out.partition(":")[0]) == (1, "Not genuine")


def test_former_keys_are_published_after_the_current_ones() -> None:
    signer, former = ReceiptSigner(Keyring([NEW.encode()])), ReceiptSigner(Keyring([OLD.encode()]))
    (old,), (new,) = former.public_keys(), signer.public_keys()
    assert ReceiptSigner(Keyring([NEW.encode()]), [old, new]).public_keys() == [new, old]


@pytest.mark.parametrize("wrong", ["x", "a" * 44, "hunter2,"])
def test_former_keys_are_public_keys(wrong: str) -> None:
    with pytest.raises(ValueError, match="entry 1 is not a public key") as refused:
        Settings.model_validate({"previous_receipt_keys": wrong})
    assert "hunter2" not in str(refused.value)
