"""What the database could not do this time is done again, so often and no more."""

import pytest

from app.errors import DatabaseUnavailable, NoFace
from app.services.retries import retry_transient


async def test_until_it_succeeds_or_was_tried_often_enough() -> None:
    calls = 0

    def failing(times: int, error: type[Exception] = DatabaseUnavailable):  # type: ignore[no-untyped-def]
        async def work() -> str:
            nonlocal calls
            calls += 1
            if calls <= times:
                raise error
            return "done"

        return work

    assert await retry_transient(failing(2), 3) == "done"
    assert calls == 3
    calls = 0
    with pytest.raises(DatabaseUnavailable):
        await retry_transient(failing(3), 3)
    assert calls == 3
    calls = 0
    with pytest.raises(NoFace):
        await retry_transient(failing(1, NoFace), 3)
    assert calls == 1
