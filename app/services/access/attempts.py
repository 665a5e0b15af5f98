"""Delay password guesses: by account and address, and by account for addresses that never signed in to it."""

import hashlib
import hmac
import math
import random

from app.errors import TooManyLoginAttempts
from app.persistence.connections.database import Database, Transaction
from app.persistence.repositories.login_attempts import BY_ACCOUNT, BY_ADDRESS, LoginAttempts, sweep_login_attempts
from app.security.keyring import Keyring

_SWEEP_ONE_IN = 500


class GuessLimit:
    """Limits password guesses on one account from one address.

    The keys in the database are keyed hashes, so the table does not reveal who tried from where. Hashing with every
    configured secret keeps the counts when the secret rotates.
    """

    def __init__(self, keyring: Keyring, account: str, address: str) -> None:
        self._keys = keyring.all("login-tries")
        self._from_address = self._hash(f"{account}\0{address}")
        self._on_account = self._hash(account)
        self._is_known = False

    async def count(self, session: Transaction) -> None:
        """Count a guess before its password is checked; raises `TooManyLoginAttempts`.

        Addresses that signed in before neither wait for guesses from elsewhere nor add to their count, so an attacker
        cannot lock the owner out.
        """
        attempts = LoginAttempts(session)
        limits = dict.fromkeys(self._from_address, BY_ADDRESS)
        self._is_known = await attempts.is_known(self._from_address)
        if not self._is_known:
            limits = dict.fromkeys(self._on_account, BY_ACCOUNT) | limits
        wait = await attempts.count_attempt(limits)
        if wait is not None:
            seconds = math.ceil(wait.total_seconds())
            raise TooManyLoginAttempts(
                f"Too many attempts for this account; try again in {seconds} seconds.", retry_after_s=seconds
            )

    async def succeed(self, session: Transaction) -> None:
        """Forget the guesses from this address after the right password, and remember the address."""
        attempts = LoginAttempts(session)
        if not self._is_known:
            await attempts.uncount(self._on_account)
        await attempts.delete(self._from_address)
        await attempts.remember(self._from_address[0])

    async def reset_account(self, session: Transaction) -> None:
        """Forget the guesses on the account from all addresses together."""
        await LoginAttempts(session).delete(self._on_account)

    def _hash(self, subject: str) -> list[str]:
        return [hmac.new(key, subject.encode(), hashlib.sha256).hexdigest() for key in self._keys]


async def sweep_sometimes(database: Database) -> None:
    """Sweep the table of attempts once in 500 calls."""
    if random.randrange(_SWEEP_ONE_IN) == 0:  # noqa: S311 - spreads the cleanup; not security-relevant
        await sweep_login_attempts(database)
