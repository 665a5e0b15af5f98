"""Compute SHA-256 digests of model files, and remember those of packs without pinned digests."""

import hashlib
import json
import os
from pathlib import Path

from app.errors import ModelPackRefused

_CHUNK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


class DigestBook:
    """Trusts a file on first use: records its digest and refuses a different one later."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, file: Path, sha256: str) -> None:
        """Record a new file's digest; raises `ModelPackRefused` if it differs from the recorded one."""
        digests = self._read()
        recorded = digests.get(str(file))
        if recorded is None:
            self._write({**digests, str(file): sha256})
        elif recorded != sha256:
            raise ModelPackRefused(
                f"{file} changed since its first use: SHA-256 was {recorded}, is {sha256}. If you changed it on "
                f"purpose, run `vultus models verify --accept`. A changed recognizer needs every face registered again."
            )

    def accept(self, file: Path, sha256: str) -> None:
        """Record a file's digest, replacing a recorded one."""
        self._write({**self._read(), str(file): sha256})

    def _read(self) -> dict[str, str]:
        try:
            digests: dict[str, str] = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except json.JSONDecodeError as exc:
            raise ModelPackRefused(f"{self._path} is damaged; delete it to record the models' digests again.") from exc
        return digests

    def _write(self, digests: dict[str, str]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        partial.write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")
        os.replace(partial, self._path)
