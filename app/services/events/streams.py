"""Count a tenant's open streams of events: each one asks the database once a second."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from app.errors import TooManyStreams

MAX_STREAMS = 20
"""Per tenant and process."""


class EventStreams:
    """The open streams of one process; use it from the event loop."""

    def __init__(self) -> None:
        self._open: Counter[UUID] = Counter()

    @contextmanager
    def enter(self, tenant_id: UUID) -> Iterator[None]:
        """Count a stream during the block; raises `TooManyStreams`."""
        if self._open[tenant_id] >= MAX_STREAMS:
            raise TooManyStreams(f"Your tenant watches {MAX_STREAMS} streams of events, the maximum. End one first.")
        self._open[tenant_id] += 1
        try:
            yield
        finally:
            self._open[tenant_id] -= 1
            if not self._open[tenant_id]:
                del self._open[tenant_id]
