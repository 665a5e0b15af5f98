"""Pages of a list: so many at a time, and a cursor to the rest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

DEFAULT_PAGE = 50
MAX_PAGE = 500


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is wanted."""

    limit: int = DEFAULT_PAGE
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page; `next_cursor` is None on the last."""

    items: list[T]
    next_cursor: str | None


def cut_page(found: list[T], limit: int, sign: Callable[[T], str]) -> Page[T]:
    """A page from `limit` items and one more, which tells whether there is a next page."""
    items = found[:limit]
    return Page(items, sign(items[-1]) if len(found) > limit else None)
