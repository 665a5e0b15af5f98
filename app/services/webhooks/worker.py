"""Deliver events in this process: turns from the job queue, retries when they are due, and old events deleted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from app.persistence.connections.database import Database
from app.persistence.job_queue import JobKind, JobWorker
from app.persistence.repositories.events import prune_events
from app.persistence.schedule import Work, claim
from app.services.background import log_and_continue
from app.services.webhooks.turns import WebhookTurns

_RETRY_S = 1.0
_RECOVER_EVERY = timedelta(seconds=0.8)
_PRUNE_EVERY = timedelta(hours=1)


class WebhookWorker:
    """Delivers the events of all tenants."""

    def __init__(self, database: Database, jobs: JobWorker, turns: WebhookTurns, *, keep: timedelta) -> None:
        """`keep` is the age at which events are deleted."""
        self._database = database
        self._jobs = jobs
        self._turns = turns
        self._keep = keep
        self._is_ending = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver during the block; at its end, finish the turns that run."""
        self._is_ending.clear()
        self._jobs.start()
        jobs = asyncio.create_task(self._jobs.run({JobKind.WEBHOOK_TURN: self._turns.run}))
        upkeep = asyncio.create_task(self._keep_order())
        try:
            yield
        finally:
            self._is_ending.set()
            self._jobs.stop()
            await asyncio.gather(jobs, upkeep)

    async def _keep_order(self) -> None:
        while not self._is_ending.is_set():
            with log_and_continue("webhooks_not_recovered"):
                if await claim(self._database, Work.WEBHOOK_TURNS, _RECOVER_EVERY):
                    await self._turns.recover()
            with log_and_continue("events_not_pruned"):
                if await claim(self._database, Work.EVENTS, _PRUNE_EVERY):
                    await prune_events(self._database, self._keep)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_ending.wait(), _RETRY_S)
