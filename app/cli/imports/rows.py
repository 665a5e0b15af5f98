"""Read manifests: CSV files with a header row, or files with one JSON object per line."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.errors import OperatorError
from app.evaluation.manifests import read_rows

_JSON_LINES = (".jsonl", ".ndjson")


def read_manifest(
    manifest: Path, columns: Sequence[str], *, optional: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row's line number and its values by column; "" for a missing value. Raises `OperatorError`."""
    if not manifest.is_file():
        raise OperatorError(f"{manifest} is not a file.")
    if manifest.suffix.lower() not in _JSON_LINES:
        yield from read_rows(manifest, columns, optional=optional)
        return
    try:
        with manifest.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _read_object(line, f"{manifest}, line {number}", columns, optional)
    except (OSError, UnicodeDecodeError) as exc:
        raise OperatorError(f"{manifest} cannot be read: {exc}") from exc


def _read_object(line: str, where: str, columns: Sequence[str], optional: Sequence[str]) -> dict[str, str]:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise OperatorError(f"{where}: is not a JSON object.") from None
    if not isinstance(value, dict):
        raise OperatorError(f"{where}: is not a JSON object.")
    unknown = [name for name in value if name not in (*columns, *optional)]
    if unknown:
        raise OperatorError(
            f"{where}: unknown members {', '.join(unknown)}; known are {', '.join((*columns, *optional))}."
        )
    if any(not isinstance(one, str) and one is not None for one in value.values()):
        raise OperatorError(f"{where}: every value must be a string.")
    return {name: (value.get(name) or "").strip() for name in (*columns, *optional)}
