"""Split a list into pages linked by cursors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

DEFAULT_PAGE = 50
MAX_PAGE = 500


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The page a caller requests: at most `limit` items after `cursor`."""

    limit: int = DEFAULT_PAGE
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next_cursor` is None on the last page."""

    items: list[T]
    next_cursor: str | None


def cut_page(found: list[T], limit: int, sign: Callable[[T], str]) -> Page[T]:
    """Cut a page of `limit` items; `found` holds one item more if there is a next page."""
    items = found[:limit]
    return Page(items, sign(items[-1]) if len(found) > limit else None)
