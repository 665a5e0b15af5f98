"""SHA-256 of model files, and the book of digests seen first for packs that nobody has pinned."""

import hashlib
import json
import os
from pathlib import Path

from app.errors import ModelPackRefused

_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Lower-case hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class DigestBook:
    """Trust on first use: remembers a file's digest the first time and refuses a different one later."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, file: Path, sha256: str) -> None:
        """Record the digest of a file not seen before; raises `ModelPackRefused` if it changed since."""
        book = self._read()
        known = book.get(str(file))
        if known is None:
            self._write({**book, str(file): sha256})
        elif known != sha256:
            raise ModelPackRefused(
                f"{file} changed since its first use: SHA-256 was {known}, is {sha256}. If that was on purpose, run "
                f"`vultus models verify --accept` and expect to register everybody anew."
            )

    def accept(self, file: Path, sha256: str) -> None:
        """Record the digest, whatever it was before."""
        self._write({**self._read(), str(file): sha256})

    def _read(self) -> dict[str, str]:
        try:
            book: dict[str, str] = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except json.JSONDecodeError as exc:
            raise ModelPackRefused(f"{self._path} is damaged; delete it to record the models' digests anew.") from exc
        return book

    def _write(self, book: dict[str, str]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        partial.write_text(json.dumps(book, indent=1, sort_keys=True) + "\n")
        os.replace(partial, self._path)
