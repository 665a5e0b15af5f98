"""Share a process's turns among webhooks, so that slow receivers leave turns to the others."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

_SLOW_S = 1.0
"""A receiver that needs longer for a message is slow until one of its messages is faster."""
_REMEMBERED = 10_000


class TurnSlots:
    """Decides which webhooks have a turn now; use it from the event loop.

    A tenant gets at most a quarter of the turns, slow receivers of all tenants together half of them.
    """

    def __init__(self, turns: int) -> None:
        self._max_of_tenant = max(1, turns // 4)
        self._max_slow = max(1, turns // 2)
        self._of_tenants: Counter[UUID] = Counter()
        self._slow_running = 0
        self._slow: OrderedDict[UUID, None] = OrderedDict()

    @contextmanager
    def enter(self, tenant_id: UUID, webhook_id: UUID) -> Iterator[bool]:
        """Take a slot during the block if there is one; yields whether there was."""
        is_slow = webhook_id in self._slow
        if self._of_tenants[tenant_id] >= self._max_of_tenant or (is_slow and self._slow_running >= self._max_slow):
            yield False
            return
        self._of_tenants[tenant_id] += 1
        self._slow_running += is_slow
        try:
            yield True
        finally:
            self._slow_running -= is_slow
            self._of_tenants[tenant_id] -= 1
            if not self._of_tenants[tenant_id]:
                del self._of_tenants[tenant_id]

    def note_time(self, webhook_id: UUID, seconds: float) -> None:
        """Note how long a message took."""
        if seconds < _SLOW_S:
            self._slow.pop(webhook_id, None)
            return
        self._slow[webhook_id] = None
        if len(self._slow) > _REMEMBERED:
            self._slow.popitem(last=False)
