"""Receipts of erasures."""

from app.security.audit_chain import SealedEntry
from app.security.keyring import Keyring
from app.security.receipts import PURPOSE, SignedReceipt, public_key_of, sign_receipt


class ReceiptOffice:
    """Signs what was erased with the service's own key."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def confirm(self, done: SealedEntry) -> SignedReceipt:
        """A receipt of what an entry of the audit trail says was erased; it names its subject as the trail does."""
        entry = done.entry
        faces = entry.details.get("faces")
        _, seed = self._keyring.current(PURPOSE)
        return sign_receipt(
            seed,
            {
                "what": entry.action,
                "tenant_id": str(entry.tenant_id),
                "subject": entry.target or "",
                "faces": faces if isinstance(faces, int) else 0,
                "erased_at": entry.at.isoformat(),
                "audit_seq": entry.seq,
                "audit_seal": done.seal.hex(),
            },
        )

    def public_keys(self) -> list[str]:
        """The keys that receipts are or were signed with, the current one first."""
        return [public_key_of(seed) for seed in self._keyring.all(PURPOSE)]
