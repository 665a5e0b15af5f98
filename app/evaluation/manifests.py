"""Lists that people write: CSV files in UTF-8, with a head line; names file, line and column of what is wrong."""

import csv
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.errors import OperatorError


def read_rows(
    manifest: Path, columns: Sequence[str], *, optional: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of each line and its values by column, without the space around them; "" for what is missing.

    With `optional` there may be these columns besides, and no others: a misspelt one would go unnoticed; without, any.
    Heads may be in capitals. Raises `OperatorError`.
    """
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            heads = [(head or "").strip().lower() for head in reader.fieldnames or ()]
            _check_heads(manifest, heads, columns, optional)
            reader.fieldnames = heads
            for row in reader:
                yield reader.line_num, _checked(row, f"{manifest}, line {reader.line_num}")
    except UnicodeDecodeError as exc:
        raise OperatorError(f"{manifest} is no CSV in UTF-8, nor a photo by its name.") from exc
    except (OSError, csv.Error) as exc:
        raise OperatorError(f"{manifest} cannot be read: {exc}") from exc


def _check_heads(manifest: Path, heads: list[str], columns: Sequence[str], optional: Sequence[str] | None) -> None:
    known = [*columns, *(optional or ())]
    missing = [name for name in columns if name not in heads]
    if missing:
        raise OperatorError(
            f"{manifest} has no column {', '.join(f'`{name}`' for name in missing)}; known columns are "
            f"{', '.join(known)}, with commas between."
        )
    unknown = [head for head in heads if head not in known]
    if optional is not None and unknown:
        raise OperatorError(f"{manifest} has columns {', '.join(unknown)}; known ones are {', '.join(known)}.")
    twice = {head for head in heads if heads.count(head) > 1 and head in known}
    if twice:
        raise OperatorError(f"{manifest} has the column {', '.join(sorted(twice))} more than once.")


def _checked(row: dict[str | None, str | list[str] | None], where: str) -> dict[str, str]:
    if None in row:
        raise OperatorError(f"{where}: more values than columns; put quotes around a value with a comma.")
    values = {str(name): str(value or "").strip() for name, value in row.items()}
    for name, value in values.items():
        if any(unicodedata.category(letter) == "Cc" for letter in value):
            raise OperatorError(f"{where}, column {name}: control characters.")
    return values
