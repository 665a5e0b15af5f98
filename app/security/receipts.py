"""Receipts of erasures: signed with a key that anybody can check (Ed25519, RFC 8032), naming nobody. Pure functions."""

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
    """What was done, and the signature over it; both in base64 where they are bytes."""

    receipt: Mapping[str, Value]
    public_key: str
    signature: str


def sign_receipt(seed: bytes, receipt: Mapping[str, Value]) -> SignedReceipt:
    """The receipt signed by the key that the 32 bytes of `seed` make."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return SignedReceipt(dict(receipt), public_key_of(seed), base64.b64encode(key.sign(_canonical(receipt))).decode())


def public_key_of(seed: bytes) -> str:
    """The public key (32 bytes) in base64."""
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def is_genuine(signed: SignedReceipt, public_key: str) -> bool:
    """Whether the receipt was signed by the owner of this public key, and not changed since."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signed.signature, validate=True), _canonical(signed.receipt))
    except (InvalidSignature, ValueError):
        return False
    return True


def _canonical(receipt: Mapping[str, Value]) -> bytes:
    return json.dumps(dict(receipt), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
