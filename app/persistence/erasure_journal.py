"""What was erased, noted outside the database: so that restoring an older backup brings nobody back.

A line an erasure: time, kind, tenant and the row's random id; nothing that names a person. Appended and synced when the
transaction has committed, before the answer leaves. The database remembers up to where it has seen the file; one that
was restored remembers less, and what follows is erased again at the next start (services/erasure/replay.py).
"""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID, uuid4

from app.telemetry import get_logger

_log = get_logger(__name__)


class ErasedKind(StrEnum):
    """What a row was."""

    TENANT = "tenant"
    COLLECTION = "collection"
    SUBJECT = "subject"
    FACE = "face"
    CONSENT = "consent"
    """Of the subject with this id: withdrawn."""


@dataclass(frozen=True, slots=True)
class Erased:
    """One erased row, or withdrawn consent, and when."""

    kind: ErasedKind
    tenant_id: UUID
    id: UUID
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class JournalPart:
    """What the journal says behind a position, and where it ends."""

    erased: list[Erased]
    position: int


class ErasureJournal:
    """A file that is only ever appended to, by all workers of a host."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, erased: Sequence[Erased]) -> None:
        """Note erasures; they are on the disk when it returns."""
        self._begin()
        lines = [
            json.dumps({"at": one.at.isoformat(), "kind": one.kind, "tenant": str(one.tenant_id), "id": str(one.id)})
            for one in erased
        ]
        # A line of its own, whatever a crash left of the one before.
        self._write(self._path, ("\n" + "\n".join(lines) + "\n").encode(), os.O_APPEND)

    def identity(self) -> UUID | None:
        """The journal's own id; None before the first erasure."""
        try:
            with self._path.open("rb") as file:
                return UUID(json.loads(file.readline())["journal"])
        except FileNotFoundError:
            return None

    def read(self, position: int) -> JournalPart:
        """Every erasure noted behind a position in bytes; a line that was cut off by a crash is passed over."""
        with self._path.open("rb") as file:
            file.seek(position)
            raw = file.read()
        raw = raw[: raw.rfind(b"\n") + 1]  # another host may still write the last line
        erased = []
        for line in raw.splitlines():
            if not line.strip():
                continue
            try:
                noted = json.loads(line)
                if "journal" not in noted:
                    at, kind = datetime.fromisoformat(noted["at"]), ErasedKind(noted["kind"])
                    erased.append(Erased(kind, UUID(noted["tenant"]), UUID(noted["id"]), at))
            except (ValueError, KeyError, TypeError):
                _log.warning("erasure_journal_has_an_unreadable_line", position=position)
        return JournalPart(erased, position + len(raw))

    def _begin(self) -> None:
        if self._path.exists():
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
        os.close(descriptor)
        try:
            self._write(Path(name), (json.dumps({"journal": str(uuid4())}) + "\n").encode(), os.O_TRUNC)
            os.link(name, self._path)  # of several workers that begin at once, one does
        except FileExistsError:
            pass
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
