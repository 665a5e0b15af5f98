"""Reads CSV files that people write: UTF-8 with a header row. Errors name the file, the line and the column."""

import csv
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.errors import OperatorError


def read_rows(
    manifest: Path, columns: Sequence[str], *, optional: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row's line number and its values by column, stripped; "" for a missing value.

    Column names are case-insensitive. `columns` are required. With `optional`, no other columns are allowed, so that a
    misspelled one does not go unnoticed; without it, any other column is allowed. Raises `OperatorError`.
    """
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            _check_header(manifest, header, columns, optional)
            reader.fieldnames = header
            for row in reader:
                yield reader.line_num, _check_row(row, f"{manifest}, line {reader.line_num}")
    except UnicodeDecodeError as exc:
        raise OperatorError(f"{manifest} is not a CSV file in UTF-8.") from exc
    except (OSError, csv.Error) as exc:
        raise OperatorError(f"{manifest} cannot be read: {exc}") from exc


def _check_header(manifest: Path, header: list[str], columns: Sequence[str], optional: Sequence[str] | None) -> None:
    allowed = [*columns, *(optional or ())]
    missing = [name for name in columns if name not in header]
    if missing:
        raise OperatorError(
            f"{manifest} has no column {', '.join(f'`{name}`' for name in missing)}. Its first line must name the "
            f"columns, separated by commas: {', '.join(allowed)}."
        )
    unknown = [name for name in header if name not in allowed]
    if optional is not None and unknown:
        raise OperatorError(
            f"{manifest} has unknown columns: {', '.join(unknown)}. Allowed columns are {', '.join(allowed)}."
        )
    repeated = {name for name in header if header.count(name) > 1 and name in allowed}
    if repeated:
        raise OperatorError(f"{manifest} has the column {', '.join(sorted(repeated))} more than once.")


def _check_row(row: dict[str | None, str | list[str] | None], where: str) -> dict[str, str]:
    if None in row:
        raise OperatorError(f"{where}: more values than columns; put quotes around a value that contains a comma.")
    values = {str(name): str(value or "").strip() for name, value in row.items()}
    for name, value in values.items():
        if any(unicodedata.category(letter) == "Cc" for letter in value):
            raise OperatorError(f"{where}, column {name}: control characters are not allowed.")
    return values
