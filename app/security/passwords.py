"""Password hashing with argon2id in a separate thread pool; the only file that imports passlib.

The installed package is libpass, the maintained fork of passlib with the same import name (docs/decisions/0005).
"""

import asyncio
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from passlib.context import CryptContext

from app.domain.text import normalize
from app.errors import Overloaded
from app.thread_priority import lower_priority

MAX_PASSWORD_CHARS = 256
MAX_WAITING = 64
"""A thread hashes about 35 passwords per second, so the last in the queue waits two seconds at most."""

_LOWER_BY = 10

P = ParamSpec("P")
T = TypeVar("T")

# Source: OWASP Password Storage Cheat Sheet (argon2id, 19 MiB, two iterations, one lane).
_CONTEXT = CryptContext(
    schemes=["argon2"],
    argon2__type="ID",
    argon2__time_cost=2,
    argon2__memory_cost=19 * 1024,
    argon2__parallelism=1,
)


class PasswordHasher:
    """Hashes and verifies passwords off the event loop, so that sign-ins cannot use all CPUs.

    `threads` run at a time, by default on half of the cores and at most 2, with a lower priority than other threads.
    Both methods raise `Overloaded` when `MAX_WAITING` calls are running or waiting.
    """

    def __init__(self, threads: int | None = None) -> None:
        threads = threads or min(2, max(1, (os.cpu_count() or 1) // 2))
        self._pool = ThreadPoolExecutor(
            threads, thread_name_prefix="passwords", initializer=lower_priority, initargs=(_LOWER_BY,)
        )
        self._decoy: str | None = None
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Hash a password in its composed form, with a new salt; returns PHC string format."""
        return await self._run(_CONTEXT.hash, normalize(password))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Check a password against a hash; takes equally long for an unknown user (`hashed` is None)."""
        is_hashable = 0 < len(password) <= MAX_PASSWORD_CHARS and _is_text(password)
        if hashed is None or not is_hashable:
            if self._decoy is None:
                self._decoy = await self.hash(secrets.token_urlsafe())
            await self._run(_verify, password if is_hashable else "-", self._decoy)
            return False
        return await self._run(_verify, password, hashed)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._waiting >= MAX_WAITING:
            raise Overloaded(f"{self._waiting} password checks are waiting, which is the limit; try again.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args, **kwargs))
        finally:
            self._waiting -= 1


def _is_text(password: str) -> bool:
    """Whether passlib accepts the password: no NUL and no lone surrogates."""
    return "\0" not in password and not any(0xD800 <= ord(character) <= 0xDFFF for character in password)


def generate_password() -> str:
    """Generate a password of 128 random bits."""
    return secrets.token_urlsafe(16)


def _verify(password: str, hashed: str) -> bool:
    """Check a password in its composed form, then as it was typed: earlier versions hashed it as it came."""
    composed = normalize(password)
    is_right = bool(_CONTEXT.verify(composed, hashed))
    if composed != password:
        is_right = bool(_CONTEXT.verify(password, hashed)) or is_right
    return is_right
