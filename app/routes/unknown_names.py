"""Say that a name is unknown, with the nearest known one."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

_MAX_ECHO = 64


def shorten(text: str) -> str:
    """Return a client's text as an error may repeat it: short, and without what JSON cannot carry."""
    clean = replace_surrogates(text)
    return clean if len(clean) <= _MAX_ECHO else clean[:_MAX_ECHO] + "..."


def replace_surrogates(text: str) -> str:
    """Replace unpaired surrogates: a client can use them in a field name, but JSON cannot carry them."""
    return text.encode("utf-8", "replace").decode()


def describe_unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return a sentence such as `Unknown form field 'treshold'. Did you mean 'threshold'?`."""
    names = sorted(known)
    nearest = get_close_matches(_fold(name), [_fold(one) for one in names], n=1)
    if nearest:
        hint = f" Did you mean {next(one for one in names if _fold(one) == nearest[0])!r}?"
    else:
        hint = f" Known: {', '.join(names)}." if names else " None is known here."
    return f"Unknown {kind} {shorten(name)!r}.{hint}"


def list_fields(model: Any, path: Iterable[Any]) -> list[str]:
    """List the fields of the model at a path inside a model; empty if there is none, as in free-form metadata."""
    current = _find_model(model)
    for part in path:
        if isinstance(part, int):
            continue
        fields = current.model_fields if current is not None else {}
        current = _find_model(fields[part].annotation) if part in fields else None
    return list(current.model_fields) if current is not None else []


def _fold(name: str) -> str:
    """The name without case and separators: `expiresAt` is `expires_at`."""
    return name.casefold().replace("_", "").replace("-", "")


def _find_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _find_model(part)) is not None), None)
