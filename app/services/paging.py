"""Split a list into pages linked by cursors."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
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


def bind_filters(scope: str, **filters: object) -> str:
    """Return the scope of a filtered list, so that its cursors are valid with the same filters only.

    Filters that are None do not count: a list without filters has the plain scope.
    """
    used = {name: str(value) for name, value in sorted(filters.items()) if value is not None}
    return f"{scope}?{json.dumps(used)}" if used else scope


def cut_page(found: list[T], limit: int, sign: Callable[[T], str]) -> Page[T]:
    """Cut a page of `limit` items; `found` holds one item more if there is a next page."""
    items = found[:limit]
    return Page(items, sign(items[-1]) if len(found) > limit else None)


async def iterate_pages(fetch: Callable[[PageRequest], Awaitable[Page[T]]]) -> AsyncIterator[T]:
    """Yield the items of all pages; `fetch` returns one of them."""
    request = PageRequest(MAX_PAGE)
    while True:
        page = await fetch(request)
        for item in page.items:
            yield item
        if page.next_cursor is None:
            return
        request = PageRequest(MAX_PAGE, page.next_cursor)
