"""Password hashing with argon2id, on a small pool of its own; the only file that imports passlib.

`passlib` here is libpass, its maintained fork under the same import name (docs/decisions/0005).
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from passlib.context import CryptContext

from app.errors import Overloaded

MAX_PASSWORD_CHARS = 256
MAX_WAITING = 64
"""Two threads hash about 70 passwords a second: more would wait longer than a second."""

P = ParamSpec("P")
T = TypeVar("T")

# OWASP's password storage cheat sheet: argon2id, 19 MiB, two passes, one lane.
_CONTEXT = CryptContext(
    schemes=["argon2"],
    argon2__type="ID",
    argon2__time_cost=2,
    argon2__memory_cost=19 * 1024,
    argon2__parallelism=1,
)


class PasswordHasher:
    """Hashes and verifies beside the event loop, two at a time, so that logins cannot take the machine."""

    def __init__(self, threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="passwords")
        self._decoy: str | None = None
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The password's hash in PHC form, with a fresh salt."""
        return await self._run(_CONTEXT.hash, password)

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether the password is the hashed one; takes as long for a user who does not exist (`hashed` None)."""
        is_hashable = 0 < len(password) <= MAX_PASSWORD_CHARS and _is_text(password)
        if hashed is None or not is_hashable:
            if self._decoy is None:
                self._decoy = await self.hash(secrets.token_urlsafe())
            await self._run(_CONTEXT.verify, password if is_hashable else "-", self._decoy)
            return False
        return await self._run(_CONTEXT.verify, password, hashed)

    def close(self) -> None:
        """Stop the pool."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._waiting >= MAX_WAITING:
            raise Overloaded(f"{self._waiting} sign-ins are waiting, which is the limit.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args, **kwargs))
        finally:
            self._waiting -= 1


def _is_text(password: str) -> bool:
    """Whether passlib takes it: neither NUL nor lone surrogates."""
    return "\0" not in password and not any(0xD800 <= ord(character) <= 0xDFFF for character in password)


def generate_password() -> str:
    """A password of 128 random bits."""
    return secrets.token_urlsafe(16)
