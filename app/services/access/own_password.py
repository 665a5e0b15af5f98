"""Ask users for their password again before they change how they sign in."""

from uuid import UUID

from app.errors import InvalidCredentials
from app.permissions import Principal
from app.persistence.connections.database import Database
from app.persistence.repositories.users import UserRepository
from app.security.keyring import Keyring
from app.security.passwords import PasswordHasher
from app.services.access.attempts import GuessLimit


class OwnPassword:
    """Checks the current password of a signed-in user; opens its own transactions, as `AuthService` does."""

    def __init__(self, database: Database, hasher: PasswordHasher, keyring: Keyring) -> None:
        self._database = database
        self._hasher = hasher
        self._keyring = keyring

    async def check(self, principal: Principal, password: str, address: str) -> UUID:
        """Check the password and return the user's id; raises `InvalidCredentials` or `TooManyLoginAttempts`."""
        if principal.user_id is None:
            raise InvalidCredentials("An API key has no password; sign in as a user.")
        limit = GuessLimit(self._keyring, str(principal.user_id), address)
        async with self._database.transaction(principal.tenant_id) as session:
            await limit.count(session)
            hashed = await UserRepository(session, principal.tenant_id).find_password_hash(principal.user_id)
        if not await self._hasher.verify(password, hashed):
            raise InvalidCredentials("The current password is wrong.")
        async with self._database.transaction(principal.tenant_id) as session:
            await limit.succeed(session)
        return principal.user_id
