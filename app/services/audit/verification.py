"""Checks a tenant's audit trail: whether any entry was altered, taken away, or stands where it was not written."""

import hmac
from dataclasses import dataclass, replace
from enum import StrEnum

from app.persistence.repositories.audit import AuditRepository
from app.security.audit_chain import FIRST_SEAL, SEAL_PURPOSE, SealedEntry, seal
from app.security.keyring import Keyring

_AT_A_TIME = 1_000
_MAX_NAMED = 1_000


class FlawKind(StrEnum):
    """What is wrong with a place of the trail."""

    ALTERED = "altered"
    MISSING = "missing"
    MOVED = "moved"
    UNKNOWN_KEY = "unknown_key"
    DETACHED = "detached"


@dataclass(frozen=True, slots=True)
class Flaw:
    """One place (`seq`) with what is wrong there."""

    seq: int
    kind: FlawKind
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """How long the trail is, its last seal, and its flaws in order.

    Whoever keeps number and seal elsewhere can tell later that nothing was cut off the end.
    """

    entries: int
    last_seq: int
    last_seal: bytes
    flaws: list[Flaw]


class AuditVerifier:
    """Reads one trail from its beginning, in one snapshot."""

    def __init__(self, entries: AuditRepository, keyring: Keyring) -> None:
        self._entries = entries
        self._keyring = keyring

    async def verify(self, *, expected: tuple[int, bytes] | None = None) -> Verdict:
        """Every flaw; `expected` is a number and seal noted earlier, which must still be there."""
        await self._entries.lock_chain()
        flaws: list[Flaw] = []
        broken: list[SealedEntry] = []
        count, last, last_seal, is_last_broken = 0, 0, FIRST_SEAL, False
        is_expected_there = expected is None
        while page := await self._entries.read_on(last, _AT_A_TIME):
            for one in page:
                seq = one.entry.seq
                flaws += _missing(last + 1, seq - 1)
                is_broken, key = False, self._keyring.find(SEAL_PURPOSE, one.key_id)
                if key is None:
                    flaws.append(Flaw(seq, FlawKind.UNKNOWN_KEY, f"sealed with key {one.key_id}, which is not at hand"))
                elif not hmac.compare_digest(seal(key, one.entry, one.previous), one.seal):
                    is_broken = True
                    broken.append(one)
                elif seq == last + 1 and not is_last_broken and one.previous != last_seal:
                    flaws.append(Flaw(seq, FlawKind.DETACHED, "it was written behind another entry"))
                if expected is not None and seq == expected[0]:
                    is_expected_there = hmac.compare_digest(one.seal, expected[1])
                count, last, last_seal, is_last_broken = count + 1, seq, one.seal, is_broken
        head_seq, head_seal = await self._entries.head()
        flaws += _missing(last + 1, head_seq)
        if last == head_seq and not is_last_broken and head_seal != last_seal:
            flaws.append(Flaw(last, FlawKind.DETACHED, "it is not the entry that was written last"))
        if expected is not None and not is_expected_there:
            flaws.append(Flaw(expected[0], FlawKind.MISSING, "not the entry that was there when its seal was noted"))
        flaws += self._name_broken(broken, {flaw.seq for flaw in flaws if flaw.kind is FlawKind.MISSING})
        return Verdict(count, last, last_seal, sorted(flaws, key=lambda flaw: flaw.seq))

    def _name_broken(self, broken: list[SealedEntry], missing: set[int]) -> list[Flaw]:
        """Altered, unless the entry is what was written at another of the places that are wrong."""
        places = missing | {one.entry.seq for one in broken}
        return [self._name(one, places) for one in broken]

    def _name(self, one: SealedEntry, places: set[int]) -> Flaw:
        key = self._keyring.find(SEAL_PURPOSE, one.key_id)
        for place in sorted(places):
            moved = replace(one.entry, seq=place)
            if key is not None and hmac.compare_digest(seal(key, moved, one.previous), one.seal):
                return Flaw(one.entry.seq, FlawKind.MOVED, f"it was written as entry {place}")
        return Flaw(one.entry.seq, FlawKind.ALTERED, "its seal does not fit what it says")


def _missing(first: int, last: int) -> list[Flaw]:
    """Each missing entry by name; of very many the first ones, and how many more."""
    named = [Flaw(seq, FlawKind.MISSING, "no entry") for seq in range(first, min(last, first + _MAX_NAMED - 1) + 1)]
    if last - first >= _MAX_NAMED:
        named.append(Flaw(first + _MAX_NAMED, FlawKind.MISSING, f"nor are there the entries up to {last}"))
    return named
