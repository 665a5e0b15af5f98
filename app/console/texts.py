"""Choose the language of a request, and find texts in its catalog."""

import json
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from importlib.resources import files

LANGUAGES = {"en": "English", "de": "Deutsch"}
DEFAULT_LANGUAGE = "en"

language: ContextVar[str] = ContextVar("console_language", default=DEFAULT_LANGUAGE)
"""The language of the request that is being answered."""


@cache
def catalog(name: str) -> Mapping[str, str]:
    """Return all texts of a language by key."""
    texts: Mapping[str, str] = json.loads(files("app.console").joinpath("texts", f"{name}.json").read_text("utf-8"))
    return texts


def translate(key: str, **values: object) -> str:
    """Return a text in the language of the request, with `{names}` replaced by values; raises `KeyError`."""
    return catalog(language.get())[key].format(**values)


def choose_language(chosen: str | None, accepted: str) -> str:
    """Return a language: the one that was chosen, or the first in an `Accept-Language` header that has a catalog."""
    if chosen in LANGUAGES:
        return chosen
    wanted = []
    for part in accepted.split(",")[:20]:
        name, _, quality = part.partition(";q=")
        try:
            wanted.append((-float(quality or 1), name.strip().lower()[:2]))
        except ValueError:
            continue
    return next((name for _, name in sorted(wanted, key=lambda one: one[0]) if name in LANGUAGES), DEFAULT_LANGUAGE)
