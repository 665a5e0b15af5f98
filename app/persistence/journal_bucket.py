"""The erasure journal in a bucket: all hosts append to it, and any of them repeats the erasures after a restore.

Objects cannot be appended to. Each process therefore has a journal of its own, whose objects are numbered: a clock that
is wrong changes nothing, and two processes never write the same object.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import obstore
from obstore.exceptions import BaseError

from app.persistence.erasure_journal import ErasureJournal, JournalEntry, JournalPart, read_entries, write_entries
from app.persistence.object_address import ObjectAddress, open_store
from app.telemetry import get_logger

_log = get_logger(__name__)
_FAILURES = (BaseError, OSError, ValueError)


class BucketJournal:
    """The journals of all processes in a bucket; `fallback` is a file for entries that the bucket does not take."""

    def __init__(self, address: ObjectAddress, fallback: ErasureJournal) -> None:
        self._store: Any = open_store(address)
        self._fallback = fallback
        self._identity = uuid4()
        self._written = 0
        self._lock = threading.Lock()

    def append(self, entries: Sequence[JournalEntry]) -> None:
        """Write entries as one object, or to the file of this host while the bucket does not respond."""
        with self._lock:
            number = self._written + 1
            try:
                obstore.put(self._store, f"{self._identity}/{number:012d}", write_entries(entries), use_multipart=False)
            except _FAILURES as exc:
                _log.error("erasure_bucket_unavailable", error=type(exc).__name__)
                self._fallback.append(entries)
                return
            self._written = number

    def read_after(self, marks: Mapping[UUID, int]) -> Iterator[tuple[UUID, JournalPart]]:
        """Yield what each process wrote after its mark, then what the file of this host has."""
        try:
            yield from self._read_bucket(marks)
        except _FAILURES as exc:
            raise OSError(f"the erasure journal's bucket does not respond ({type(exc).__name__})") from exc
        yield from self._fallback.read_after(marks)

    def _read_bucket(self, marks: Mapping[UUID, int]) -> Iterator[tuple[UUID, JournalPart]]:
        unread: dict[UUID, list[int]] = {}
        for batch in obstore.list(self._store):
            for found in batch:
                journal, _, number = found["path"].rpartition("/")
                identity = UUID(journal)
                if int(number) > marks.get(identity, 0):
                    unread.setdefault(identity, []).append(int(number))
        for identity, numbers in unread.items():
            entries = [one for number in sorted(numbers) for one in self._read(identity, number)]
            yield identity, JournalPart(entries, max(numbers))

    def _read(self, identity: UUID, number: int) -> list[JournalEntry]:
        return read_entries(bytes(obstore.get(self._store, f"{identity}/{number:012d}").bytes()))
