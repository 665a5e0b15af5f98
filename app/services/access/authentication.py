"""Sign users in and out, refresh their sessions, and authenticate tokens and API keys.

Unlike most services, this one opens its own transactions, for two reasons. Hashing a password takes tens of
milliseconds, during which no database connection may be held. And a caller's tenant is unknown before the sign-in.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from app.domain.accounts import SessionRecord
from app.domain.text import normalize_email
from app.errors import InvalidCredentials, SecondFactorNeeded, SessionNotFound, TokenExpired, TokenInvalid, TokenRevoked
from app.permissions import Principal, Role
from app.persistence.connections.database import Database
from app.persistence.repositories.account_links import AccountLinkRepository
from app.persistence.repositories.hot_queries import HotQueries, find_api_key
from app.persistence.repositories.principals import PrincipalRepository
from app.persistence.repositories.sessions import SessionRepository
from app.persistence.repositories.users import Login, LoginDirectory, UserRepository
from app.security.keyring import Keyring
from app.security.passwords import PasswordHasher
from app.security.pending_sign_ins import PendingSignIn, read_pending, sign_pending
from app.security.secret_tokens import SecretToken, TokenPrefix, hash_secret, is_same_hash
from app.security.tokens import TokenClaims, TokenIssuer, TokenKind
from app.services.access.attempts import GuessLimit, sweep_sometimes
from app.services.access.own_password import OwnPassword
from app.services.access.second_factors import SecondFactorService
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrails


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The tokens of a session, as returned by a sign-in or a refresh."""

    access_token: str
    refresh_token: str
    expires_in_s: int


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A session of the console: its token and lifetime, or what asks for the code of the second factor instead."""

    token: str = field(default="", repr=False)
    lifetime_s: int = 0
    pending: str | None = field(default=None, repr=False)


CONSOLE_PREFIX = "console:"
"""Marks a credential that came from the console's cookie."""


class AuthService:
    """Manage user sessions and authenticate credentials.

    Sessions and keys are checked on every request, so revoking one takes effect immediately.
    """

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        tokens: TokenIssuer,
        keyring: Keyring,
        trails: AuditTrails,
        second_factors: SecondFactorService,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._tokens = tokens
        self._keyring = keyring
        self._trails = trails
        self._second_factors = second_factors
        self._own_password = OwnPassword(database, hasher, keyring)

    async def sign_in(self, email: str, password: str, address: str, code: str | None = None) -> TokenPair:
        """Start a session with an email and a password, and return its tokens; raises as `begin_session` does."""
        return self._pair(await self.begin_session(email, password, address, code))

    async def sign_in_to_console(self, email: str, password: str, address: str) -> ConsoleSession:
        """Start a session of the console, or return what asks for the code of the second factor.

        Raises as `begin_session` does.
        """
        login, limit = await self._check_password(normalize_email(email), password, address)
        try:
            await self._second_factors.check(login, None, address)
        except SecondFactorNeeded:
            pending = PendingSignIn.of(normalize_email(email), login.password_hash)
            return ConsoleSession(pending=sign_pending(self._keyring, pending))
        return self._console_session(await self._open_session(login, limit, is_console=True))

    async def finish_console_sign_in(self, pending: str, code: str, address: str) -> ConsoleSession:
        """Start a session of the console by the code of the second factor, within five minutes after the password.

        Raises `InvalidCredentials`, `SecondFactorWrong` or `TooManyLoginAttempts`.
        """
        read = read_pending(self._keyring, pending)
        if read is None:
            raise InvalidCredentials("That took too long; sign in again.")
        async with self._database.transaction(lookup=read.email) as session:
            login = await LoginDirectory(session).find(read.email)
        if login is None or PendingSignIn.of(read.email, login.password_hash) != read:
            raise InvalidCredentials
        await self._second_factors.check(login, code or "-", address)
        limit = GuessLimit(self._keyring, read.email, address)
        return self._console_session(await self._open_session(login, limit, is_console=True))

    async def begin_session(self, email: str, password: str, address: str, code: str | None = None) -> TokenClaims:
        """Start a session with an email and a password, and the code of a second factor if the user has one.

        Raises `InvalidCredentials`, in the same time for an unknown email as for a wrong password. Raises
        `TooManyLoginAttempts` after too many attempts on this account, from this address or from all addresses that
        never signed in to it; sessions and keys are not affected. Raises `SecondFactorNeeded` or `SecondFactorWrong`.
        """
        login, limit = await self._check_password(normalize_email(email), password, address)
        await self._second_factors.check(login, code, address)
        return await self._open_session(login, limit)

    async def _check_password(self, email: str, password: str, address: str) -> tuple[Login, GuessLimit]:
        limit = GuessLimit(self._keyring, email, address)
        await sweep_sometimes(self._database)
        async with self._database.transaction(lookup=email) as session:
            await limit.count(session)
            login = await LoginDirectory(session).find(email)
        if not await self._hasher.verify(password, login.password_hash if login else None) or login is None:
            raise InvalidCredentials
        return login, limit

    async def _open_session(self, login: Login, limit: GuessLimit, *, is_console: bool = False) -> TokenClaims:
        async with self._database.transaction(login.tenant_id) as session:
            # The password may have changed while it was being hashed; then this sign-in is refused.
            users = UserRepository(session, login.tenant_id)
            if await users.find_password_hash(login.user_id, lock=True) != login.password_hash:
                raise InvalidCredentials
            await limit.succeed(session)
            sessions = SessionRepository(session, login.tenant_id)
            end = self._session_end(TokenKind.CONSOLE if is_console else TokenKind.REFRESH)
            session_id = await sessions.add(login.user_id, end, is_console=is_console)
        return TokenClaims(login.user_id, login.tenant_id, session_id, 0)

    def _console_session(self, claims: TokenClaims) -> ConsoleSession:
        lifetime_s = int(self._tokens.lifetime(TokenKind.CONSOLE).total_seconds())
        return ConsoleSession(self._tokens.issue(TokenKind.CONSOLE, claims), lifetime_s)

    def check_refresh_token(self, refresh_token: str) -> None:
        """Check a refresh token without using it; raises `TokenInvalid` or `TokenExpired`."""
        self._tokens.read(TokenKind.REFRESH, refresh_token)

    async def refresh(self, refresh_token: str) -> TokenPair:
        """Exchange a refresh token for new tokens.

        A token that was used before ends its session; raises `TokenRevoked`.
        """
        claims = self._tokens.read(TokenKind.REFRESH, refresh_token)
        async with self._database.transaction(claims.tenant_id) as session:
            sessions = SessionRepository(session, claims.tenant_id)
            is_rotated = await sessions.rotate(
                claims.session_id, claims.user_id, claims.generation, self._session_end()
            )
            if not is_rotated:
                # A valid signature on an outdated token: it was used before, so one of its two users stole it.
                await sessions.revoke(claims.session_id)
        if not is_rotated:
            raise TokenRevoked
        return self._pair(TokenClaims(claims.user_id, claims.tenant_id, claims.session_id, claims.generation + 1))

    async def sign_in_for_operator(self, tenant_id: UUID) -> TokenPair:
        """Start a session of the tenant's first admin without a password, for an operator who owns the database."""
        async with self._database.transaction(tenant_id) as session:
            admin = await UserRepository(session, tenant_id).find_first(Role.ADMIN)
            if admin is None:
                raise InvalidCredentials("The tenant has no admin.")
            session_id = await SessionRepository(session, tenant_id).add(admin.id, self._session_end())
        return self._pair(TokenClaims(admin.id, tenant_id, session_id, 0))

    async def sign_out(self, principal: Principal) -> None:
        """End the session; its access and refresh tokens become invalid immediately."""
        if principal.session_id is None:
            return  # an API key has no session; an admin revokes the key instead
        async with self._database.transaction(principal.tenant_id) as session:
            await SessionRepository(session, principal.tenant_id).revoke(principal.session_id)

    async def change_password(self, principal: Principal, current: str, new: str, address: str) -> None:
        """Change a user's own password and end their other sessions.

        Raises `InvalidCredentials` or `TooManyLoginAttempts`.
        """
        user_id = await self._own_password.check(principal, current, address)
        new_hash = await self._hasher.hash(new)
        async with self._database.transaction(principal.tenant_id) as session:
            await UserRepository(session, principal.tenant_id).update(user_id, password_hash=new_hash)
            await AccountLinkRepository(session, principal.tenant_id).end_resets_of(user_id)
            sessions = SessionRepository(session, principal.tenant_id)
            await sessions.revoke_all(user_id, except_id=principal.session_id)
            trail = self._trails.open(session, principal.tenant_id, principal.name)
            await trail.record(AuditAction.PASSWORD_CHANGED, f"user:{user_id}")

    async def list_sessions(self, principal: Principal) -> list[SessionRecord]:
        """List the sessions of the caller that are neither ended nor expired, newest first; none for an API key."""
        if principal.user_id is None:
            return []
        async with self._database.transaction(principal.tenant_id) as session:
            return await SessionRepository(session, principal.tenant_id).list_live(principal.user_id)

    async def end_session(self, principal: Principal, session_id: UUID) -> None:
        """End one of the caller's sessions, effective immediately; raises `SessionNotFound`."""
        async with self._database.transaction(principal.tenant_id) as session:
            sessions = SessionRepository(session, principal.tenant_id)
            if principal.user_id is None or not await sessions.revoke_of(principal.user_id, session_id):
                raise SessionNotFound
            trail = self._trails.open(session, principal.tenant_id, principal.name)
            await trail.record(AuditAction.SESSION_ENDED, f"user:{principal.user_id}")

    async def authenticate(self, credential: str) -> Principal:
        """Return the caller behind an access token or API key, with current permissions.

        Raises an `AuthenticationFailed`.
        """
        if credential.startswith(TokenPrefix.API_KEY):
            return await self._authenticate_key(credential)
        claims = self._read_token(credential)
        queries = HotQueries(self._database, claims.tenant_id)
        principal = await queries.find_user(claims.session_id, claims.user_id)
        if principal is None:
            raise TokenRevoked
        return principal

    def read_session(self, credential: str) -> TokenClaims | None:
        """Return the claims of an access token whose session is still to be checked; None for an API key.

        Raises an `AuthenticationFailed` for a token that is malformed, forged or expired.
        """
        return None if credential.startswith(TokenPrefix.API_KEY) else self._read_token(credential)

    def _read_token(self, credential: str) -> TokenClaims:
        if credential.startswith(CONSOLE_PREFIX):
            return self._tokens.read(TokenKind.CONSOLE, credential.removeprefix(CONSOLE_PREFIX))
        return self._tokens.read(TokenKind.ACCESS, credential)

    async def _authenticate_key(self, credential: str) -> Principal:
        presented = SecretToken.parse(TokenPrefix.API_KEY, credential)
        if presented is None:
            raise TokenInvalid
        stored = await find_api_key(self._database, presented.public_id)
        key = self._keyring.find("api-keys", stored.key_id) if stored is not None else None
        # Check the secret first: only its owner may learn that a key expired or was revoked.
        if stored is None or key is None or not is_same_hash(stored.secret_hmac, hash_secret(key, presented.secret)):
            raise TokenInvalid
        if stored.revoked_at is not None:
            raise TokenRevoked("This key was revoked.")
        if stored.expires_at is not None and stored.expires_at <= datetime.now(UTC):
            raise TokenExpired("This key has expired.")
        tenant_id = stored.principal.tenant_id
        if not stored.was_just_used:
            await HotQueries(self._database, tenant_id).touch_api_key(stored.id)
        current_id, current = self._keyring.current("api-keys")
        if stored.key_id != current_id:  # the signing secret rotated: rehash under the new one
            async with self._database.transaction(tenant_id) as session:
                principals = PrincipalRepository(session, tenant_id)
                await principals.update_hash(stored.id, current_id, hash_secret(current, presented.secret))
        return stored.principal

    def _pair(self, claims: TokenClaims) -> TokenPair:
        access = self._tokens.issue(TokenKind.ACCESS, claims)
        refresh = self._tokens.issue(TokenKind.REFRESH, claims)
        return TokenPair(access, refresh, int(self._tokens.lifetime(TokenKind.ACCESS).total_seconds()))

    def _session_end(self, kind: TokenKind = TokenKind.REFRESH) -> datetime:
        return datetime.now(UTC) + self._tokens.lifetime(kind)
