"""Sign receipts of erasures."""

from collections.abc import Sequence

from app.security.audit_chain import SealedEntry
from app.security.keyring import Keyring
from app.security.receipts import PURPOSE, SignedReceipt, derive_public_key, sign_receipt


class ReceiptSigner:
    """Sign receipts with the service's own Ed25519 key."""

    def __init__(self, keyring: Keyring, previous_keys: Sequence[str] = ()) -> None:
        """`previous_keys` are public keys of secrets that are no longer configured."""
        self._keyring = keyring
        self._previous_keys = previous_keys

    def sign(self, sealed: SealedEntry) -> SignedReceipt:
        """Sign a receipt for the erasure in an audit entry; the subject appears as the same keyed hash as there."""
        entry = sealed.entry
        faces = entry.details.get("faces")
        _, seed = self._keyring.current(PURPOSE)
        return sign_receipt(
            seed,
            {
                "action": entry.action,
                "tenant_id": str(entry.tenant_id),
                "subject": entry.target or "",
                "faces": faces if isinstance(faces, int) else 0,
                "erased_at": entry.at.isoformat(),
                "audit_seq": entry.seq,
                "audit_seal": sealed.seal.hex(),
            },
        )

    def public_keys(self) -> list[str]:
        """Return the public keys of the configured secrets, the current one first, then those of former secrets."""
        own = [derive_public_key(seed) for seed in self._keyring.all(PURPOSE)]
        return list(dict.fromkeys([*own, *self._previous_keys]))
