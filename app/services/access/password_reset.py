"""Replace a forgotten password as the operator."""

from dataclasses import dataclass
from uuid import UUID

from app.domain.text import normalize_email
from app.errors import UserNotFound
from app.persistence.connections.database import Database
from app.persistence.repositories.account_links import AccountLinkRepository
from app.persistence.repositories.sessions import SessionRepository
from app.persistence.repositories.users import Login, LoginDirectory, UserRepository
from app.security.keyring import Keyring
from app.services.access.attempts import GuessLimit
from app.services.audit.actions import AuditAction
from app.services.audit.trail import OPERATOR, AuditTrails


@dataclass(frozen=True, slots=True)
class ResetUser:
    """The user whose password was replaced."""

    tenant_id: UUID
    user_id: UUID
    email: str


class PasswordReset:
    """Replace passwords without knowing the current one; needs the operator's database login."""

    def __init__(self, database: Database, keyring: Keyring, trails: AuditTrails) -> None:
        self._database = database
        self._keyring = keyring
        self._trails = trails

    async def run(self, email: str, password_hash: str) -> ResetUser:
        """Replace a user's password, end all their sessions and forget the guesses on their account.

        Raises `UserNotFound`.
        """
        email, login = await self._find(email)
        async with self._database.transaction(login.tenant_id) as session:
            await UserRepository(session, login.tenant_id).update(login.user_id, password_hash=password_hash)
            await SessionRepository(session, login.tenant_id).revoke_all(login.user_id)
            await AccountLinkRepository(session, login.tenant_id).end_resets_of(login.user_id)
            await GuessLimit(self._keyring, email, "").reset_account(session)
            trail = self._trails.open(session, login.tenant_id, OPERATOR)
            await trail.record(AuditAction.PASSWORD_CHANGED, f"user:{login.user_id}")
        return ResetUser(login.tenant_id, login.user_id, email)

    async def find_user(self, email: str) -> ResetUser:
        """Find a user by email, in any tenant; raises `UserNotFound`."""
        email, login = await self._find(email)
        return ResetUser(login.tenant_id, login.user_id, email)

    async def _find(self, email: str) -> tuple[str, Login]:
        email = normalize_email(email)
        async with self._database.transaction(lookup=email) as session:
            login = await LoginDirectory(session).find(email)
        if login is None:
            raise UserNotFound(f"No user has the email {email!r}.")
        return email, login
