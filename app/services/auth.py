"""Signing in, staying signed in, signing out.

Unlike the other services this one opens its transactions itself: hashing a password takes a pool and tens of
milliseconds, and no database connection may wait for it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from app.errors import InvalidCredentials, TokenRevoked
from app.permissions import Principal, Role
from app.persistence.database import Database
from app.persistence.repositories.sessions import SessionRepository
from app.persistence.repositories.users import LoginDirectory, UserRepository
from app.security.passwords import PasswordHasher
from app.security.tokens import TokenClaims, TokenIssuer, TokenKind


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a sign-in hands out."""

    access_token: str
    refresh_token: str
    expires_in_s: int


class AuthService:
    """Sessions of users; every access token is checked against its session, so signing out is immediate."""

    def __init__(self, database: Database, hasher: PasswordHasher, tokens: TokenIssuer) -> None:
        self._database = database
        self._hasher = hasher
        self._tokens = tokens

    async def sign_in(self, email: str, password: str) -> TokenPair:
        """Begin a session; raises `InvalidCredentials`, as slowly for an unknown email as for a wrong password."""
        async with self._database.transaction(lookup=email.lower()) as session:
            login = await LoginDirectory(session).find(email)
        if not await self._hasher.verify(password, login.password_hash if login else None) or login is None:
            raise InvalidCredentials
        async with self._database.transaction(login.tenant_id) as session:
            sessions = SessionRepository(session, login.tenant_id)
            session_id = await sessions.open(login.user_id, self._session_end())
        return self._pair(TokenClaims(login.user_id, login.tenant_id, session_id, 0))

    async def refresh(self, refresh_token: str) -> TokenPair:
        """Trade a refresh token for new tokens; one used before ends its session and raises `TokenRevoked`."""
        claims = self._tokens.read(TokenKind.REFRESH, refresh_token)
        async with self._database.transaction(claims.tenant_id) as session:
            sessions = SessionRepository(session, claims.tenant_id)
            is_rotated = await sessions.rotate(claims.session_id, claims.generation, self._session_end())
            if not is_rotated:
                # Signed by us yet not the current one: it was used before, so one of its two holders stole it.
                await sessions.revoke(claims.session_id)
        if not is_rotated:
            raise TokenRevoked
        return self._pair(TokenClaims(claims.user_id, claims.tenant_id, claims.session_id, claims.generation + 1))

    async def sign_in_for_operator(self, tenant_id: UUID) -> TokenPair:
        """Begin a session of the tenant's first admin without a password: for whoever owns the database anyway."""
        async with self._database.transaction(tenant_id) as session:
            admin = await UserRepository(session, tenant_id).find_first(Role.ADMIN)
            if admin is None:
                raise InvalidCredentials("The tenant has no admin.")
            session_id = await SessionRepository(session, tenant_id).open(admin.id, self._session_end())
        return self._pair(TokenClaims(admin.id, tenant_id, session_id, 0))

    async def sign_out(self, principal: Principal) -> None:
        """End the session; its access and refresh tokens are refused from here on."""
        async with self._database.transaction(principal.tenant_id) as session:
            await SessionRepository(session, principal.tenant_id).revoke(principal.session_id)

    async def authenticate(self, access_token: str) -> Principal:
        """Who sends this access token, with the role they have now; raises an `AuthenticationFailed`."""
        claims = self._tokens.read(TokenKind.ACCESS, access_token)
        async with self._database.transaction(claims.tenant_id) as session:
            sessions = SessionRepository(session, claims.tenant_id)
            principal = await sessions.find_principal(claims.session_id, claims.user_id)
        if principal is None:
            raise TokenRevoked
        return principal

    def _pair(self, claims: TokenClaims) -> TokenPair:
        access = self._tokens.issue(TokenKind.ACCESS, claims)
        refresh = self._tokens.issue(TokenKind.REFRESH, claims)
        return TokenPair(access, refresh, int(self._tokens.lifetime(TokenKind.ACCESS).total_seconds()))

    def _session_end(self) -> datetime:
        return datetime.now(UTC) + self._tokens.lifetime(TokenKind.REFRESH)
