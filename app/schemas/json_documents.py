"""Parse JSON in which no object has a name twice: of two values, one would be lost silently."""

import json
from typing import Any

from app.errors import DuplicateField


def parse_json(text: str | bytes, **options: Any) -> Any:
    """Parse a JSON document; raises `DuplicateField`, or `ValueError` as `json.loads` does."""
    return json.loads(text, object_pairs_hook=_unique, **options)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))[:64]  # type: ignore[func-returns-value]
        raise DuplicateField(f"{name}: appears more than once in one object; send it once.", field=name)
    return found
