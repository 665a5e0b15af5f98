"""Log of erasures outside the database, so that restoring an older backup does not bring erased people back.

Each line holds one erasure: time, kind, tenant and the row's random id, but nothing that identifies a person. Lines are
appended and fsynced after the transaction commits and before the response is sent. The database stores the position up
to which it has applied the journal. After a restore that position is older, and the next start erases the entries after
it again (services/erasure/replay.py).
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

from app.telemetry import get_logger

_log = get_logger(__name__)


class ErasedKind(StrEnum):
    """The kind of record that was erased."""

    TENANT = "tenant"
    COLLECTION = "collection"
    SUBJECT = "subject"
    FACE = "face"
    CONSENT = "consent"
    """Consent of the subject with this id; withdrawn, not erased."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One erased row or withdrawn consent, with the time."""

    kind: ErasedKind
    tenant_id: UUID
    id: UUID
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class JournalPart:
    """The entries after a position, and the position after the last of them: in bytes, or in objects of a bucket."""

    entries: list[JournalEntry]
    position: int


class Journal(Protocol):
    """Where erasures are noted: a file of this host, or a bucket that all hosts share."""

    def append(self, entries: Sequence[JournalEntry]) -> None:
        """Append entries; they are stored for good when this returns. Raises `OSError`."""

    def read_after(self, marks: Mapping[UUID, int]) -> Iterator[tuple[UUID, JournalPart]]:
        """Yield what each journal has after its mark, 0 if it has none; raises `OSError`."""


def write_entries(entries: Sequence[JournalEntry]) -> bytes:
    """Write entries as lines."""
    lines = [
        json.dumps(
            {"at": entry.at.isoformat(), "kind": entry.kind, "tenant": str(entry.tenant_id), "id": str(entry.id)}
        )
        for entry in entries
    ]
    return ("\n".join(lines) + "\n").encode()


def read_entries(raw: bytes) -> list[JournalEntry]:
    """Read the entries of lines; those cut off by a crash are logged and skipped."""
    entries = []
    for line in raw.splitlines():
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            if "journal" not in fields:
                at, kind = datetime.fromisoformat(fields["at"]), ErasedKind(fields["kind"])
                entries.append(JournalEntry(kind, UUID(fields["tenant"]), UUID(fields["id"]), at))
        except (ValueError, KeyError, TypeError):
            _log.warning("erasure_journal_line_unreadable")
    return entries


class ErasureJournal:
    """An append-only file shared by all workers of a host."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, entries: Sequence[JournalEntry]) -> None:
        """Append entries; they are fsynced to disk when this returns. Raises `OSError`."""
        self._create_if_missing()
        # The leading newline ends a line that a crash may have cut off.
        self._write(self._path, b"\n" + write_entries(entries), os.O_APPEND)

    def read_after(self, marks: Mapping[UUID, int]) -> Iterator[tuple[UUID, JournalPart]]:
        """Yield what the file has after its mark; nothing before the first erasure."""
        identity = self.identity()
        if identity is not None:
            yield identity, self.read(marks.get(identity, 0))

    def identity(self) -> UUID | None:
        """Return the journal's own id; None before the first erasure."""
        try:
            with self._path.open("rb") as file:
                return UUID(json.loads(file.readline())["journal"])
        except FileNotFoundError:
            return None

    def read(self, position: int) -> JournalPart:
        """Read all entries after a position in bytes; lines cut off by a crash are logged and skipped."""
        with self._path.open("rb") as file:
            file.seek(position)
            raw = file.read()
        raw = raw[: raw.rfind(b"\n") + 1]  # another host may still be writing the last line
        return JournalPart(read_entries(raw), position + len(raw))

    def _create_if_missing(self) -> None:
        if self._path.exists():
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
        os.close(descriptor)
        try:
            self._write(Path(name), (json.dumps({"journal": str(uuid4())}) + "\n").encode(), os.O_TRUNC)
            os.link(name, self._path)  # atomic: of several workers, exactly one creates the file
        except FileExistsError:
            pass  # another worker created it
        finally:
            Path(name).unlink()

    @staticmethod
    def _write(path: Path, data: bytes, flags: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
        try:
            written = os.write(descriptor, data)
            os.fsync(descriptor)
            if written < len(data):
                raise OSError(f"wrote {written} of {len(data)} bytes")
        finally:
            os.close(descriptor)
