"""Receipts of erasures without personal data, signed with Ed25519 (RFC 8032), so that anyone can verify them.

Pure functions.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PURPOSE = "receipts"

Value = str | int


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt with its signature and public key, both in base64."""

    receipt: Mapping[str, Value]
    public_key: str
    signature: str


def sign_receipt(seed: bytes, receipt: Mapping[str, Value]) -> SignedReceipt:
    """Sign a receipt with the key derived from `seed` (32 bytes)."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return SignedReceipt(
        dict(receipt), derive_public_key(seed), base64.b64encode(key.sign(_canonical(receipt))).decode()
    )


def derive_public_key(seed: bytes) -> str:
    """Derive the public key (32 bytes) from `seed`, in base64."""
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def is_valid_receipt(signed: SignedReceipt, public_key: str) -> bool:
    """Verify that the owner of this public key signed the receipt and that it was not altered since."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signed.signature, validate=True), _canonical(signed.receipt))
    except (InvalidSignature, ValueError):
        return False
    return True


def _canonical(receipt: Mapping[str, Value]) -> bytes:
    return json.dumps(dict(receipt), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
