"""Periodic work: of many processes that ask, one is told to do it."""

import asyncio
from datetime import timedelta

from sqlalchemy import text

from app.persistence.connections.database import Database
from app.persistence.schedule import Work, claim

AN_HOUR = timedelta(hours=1)


async def test_one_of_many_is_told_to(database: Database) -> None:
    async with database.transaction(as_operator=True) as session:
        await session.execute(text("DELETE FROM scheduled_work"))
    claims = await asyncio.gather(*(claim(database, Work.JOB_LOG, AN_HOUR) for _ in range(5)))
    assert sorted(claims) == [False] * 4 + [True]
    assert not await claim(database, Work.JOB_LOG, AN_HOUR)
    async with database.transaction(as_operator=True) as session:
        await session.execute(text("UPDATE scheduled_work SET due_at = now()"))
    assert await claim(database, Work.JOB_LOG, AN_HOUR)
