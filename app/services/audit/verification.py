"""Verify a tenant's audit trail: detect altered, deleted and moved entries."""

import hmac
from dataclasses import dataclass, replace
from enum import StrEnum

from app.persistence.repositories.audit import AuditRepository
from app.security.audit_chain import FIRST_SEAL, SEAL_PURPOSE, SealedEntry, seal
from app.security.keyring import Keyring

_BATCH_SIZE = 1_000
_MAX_LISTED = 1_000


class FlawKind(StrEnum):
    """What is wrong at a sequence number of the trail."""

    ALTERED = "altered"
    MISSING = "missing"
    MOVED = "moved"
    UNKNOWN_KEY = "unknown_key"
    DETACHED = "detached"


@dataclass(frozen=True, slots=True)
class Flaw:
    """A flaw at one sequence number."""

    seq: int
    kind: FlawKind
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The number of entries, the last sequence number and seal, and all flaws in order.

    An operator who stores the last number and seal elsewhere can later detect entries deleted from the end.
    """

    entries: int
    last_seq: int
    last_seal: bytes
    flaws: list[Flaw]


class AuditVerifier:
    """Read one trail from its beginning, in one snapshot."""

    def __init__(self, entries: AuditRepository, keyring: Keyring) -> None:
        self._entries = entries
        self._keyring = keyring

    async def verify(self, *, expected: tuple[int, bytes] | None = None) -> Verdict:
        """Find all flaws; `expected` is a sequence number and seal stored earlier, which the trail must still have."""
        await self._entries.use_snapshot()
        flaws: list[Flaw] = []
        broken: list[SealedEntry] = []
        count, last, last_seal, is_last_broken = 0, 0, FIRST_SEAL, False
        is_expected_there = expected is None
        while page := await self._entries.list_after(last, _BATCH_SIZE):
            for sealed in page:
                seq = sealed.entry.seq
                flaws += _missing(last + 1, seq - 1)
                is_broken, key = False, self._keyring.find(SEAL_PURPOSE, sealed.key_id)
                if key is None:
                    flaws.append(Flaw(seq, FlawKind.UNKNOWN_KEY, f"sealed with key {sealed.key_id}, not configured"))
                elif not hmac.compare_digest(seal(key, sealed.entry, sealed.previous), sealed.seal):
                    is_broken = True
                    broken.append(sealed)
                elif seq == last + 1 and not is_last_broken and sealed.previous != last_seal:
                    flaws.append(Flaw(seq, FlawKind.DETACHED, "it was written after a different entry"))
                if expected is not None and seq == expected[0]:
                    is_expected_there = hmac.compare_digest(sealed.seal, expected[1])
                count, last, last_seal, is_last_broken = count + 1, seq, sealed.seal, is_broken
        head_seq, head_seal = await self._entries.get_head()
        flaws += _missing(last + 1, head_seq)
        if last == head_seq and not is_last_broken and head_seal != last_seal:
            flaws.append(Flaw(last, FlawKind.DETACHED, "it is not the last entry that was written"))
        if expected is not None and not is_expected_there:
            flaws.append(Flaw(expected[0], FlawKind.MISSING, "its seal is not the expected one"))
        flaws += self._classify_all(broken, {flaw.seq for flaw in flaws if flaw.kind is FlawKind.MISSING})
        return Verdict(count, last, last_seal, sorted(flaws, key=lambda flaw: flaw.seq))

    def _classify_all(self, broken: list[SealedEntry], missing: set[int]) -> list[Flaw]:
        seqs = missing | {sealed.entry.seq for sealed in broken}
        return [self._classify(sealed, seqs) for sealed in broken]

    def _classify(self, sealed: SealedEntry, seqs: set[int]) -> Flaw:
        """Call an entry moved if its seal fits another missing or broken sequence number, otherwise altered."""
        key = self._keyring.find(SEAL_PURPOSE, sealed.key_id)
        for seq in sorted(seqs):
            moved = replace(sealed.entry, seq=seq)
            if key is not None and hmac.compare_digest(seal(key, moved, sealed.previous), sealed.seal):
                return Flaw(sealed.entry.seq, FlawKind.MOVED, f"it was written as entry {seq}")
        return Flaw(sealed.entry.seq, FlawKind.ALTERED, "its seal does not match its content")


def _missing(first: int, last: int) -> list[Flaw]:
    """List missing entries one by one; after the first `_MAX_LISTED`, report the rest as one range."""
    last_listed = min(last, first + _MAX_LISTED - 1)
    listed = [Flaw(seq, FlawKind.MISSING, "no entry") for seq in range(first, last_listed + 1)]
    if last > last_listed:
        listed.append(Flaw(last_listed + 1, FlawKind.MISSING, f"no entries up to {last}"))
    return listed
