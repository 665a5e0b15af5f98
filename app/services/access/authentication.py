"""Signing in, staying signed in, signing out, and who a credential speaks for.

Unlike most services this one opens its transactions itself: hashing a password takes a pool and tens of milliseconds,
and no database connection may wait for it; and whoever is not known yet has no tenant to open one for.
"""

import hashlib
import hmac
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.errors import InvalidCredentials, TokenExpired, TokenInvalid, TokenRevoked, TooManyLoginAttempts
from app.permissions import Principal, Role
from app.persistence.connections.database import Database
from app.persistence.repositories.hot_queries import HotQueries
from app.persistence.repositories.login_attempts import LoginAttempts
from app.persistence.repositories.principals import KeyDirectory, PrincipalRepository
from app.persistence.repositories.sessions import SessionRepository
from app.persistence.repositories.users import LoginDirectory, UserRepository
from app.security.api_keys import PREFIX, hash_secret, is_same_hash, parse_api_key
from app.security.keyring import Keyring
from app.security.passwords import PasswordHasher
from app.security.tokens import TokenClaims, TokenIssuer, TokenKind
from app.services.audit.trail import AuditAction, AuditTrails


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a sign-in hands out."""

    access_token: str
    refresh_token: str
    expires_in_s: int


class AuthService:
    """Sessions of users and keys of programs; both are checked on every request, so revoking one is immediate."""

    def __init__(
        self, database: Database, hasher: PasswordHasher, tokens: TokenIssuer, keyring: Keyring, trails: AuditTrails
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._tokens = tokens
        self._keyring = keyring
        self._trails = trails

    async def sign_in(self, email: str, password: str, address: str) -> TokenPair:
        """Begin a session.

        Raises `InvalidCredentials`, as slowly for an unknown email as for a wrong password, and `TooManyLoginAttempts`
        when this account was tried too often from this address; other addresses, sessions and keys go on.
        """
        email = email.strip().lower()
        tried = self._attempt_keys(email, address)
        async with self._database.transaction(lookup=email) as session:
            wait = await _admit_attempt(LoginAttempts(session), tried)
            login = await LoginDirectory(session).find(email)
        _refuse_while_waiting(wait)
        if not await self._hasher.verify(password, login.password_hash if login else None) or login is None:
            raise InvalidCredentials
        async with self._database.transaction(login.tenant_id) as session:
            # The password may have been changed while we hashed: then this sign-in came too late.
            users = UserRepository(session, login.tenant_id)
            if await users.find_password_hash(login.user_id, lock=True) != login.password_hash:
                raise InvalidCredentials
            for key in tried:
                await LoginAttempts(session).forget(key)
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
        if principal.session_id is None:
            return  # a program has no session; its key is revoked by an admin
        async with self._database.transaction(principal.tenant_id) as session:
            await SessionRepository(session, principal.tenant_id).revoke(principal.session_id)

    async def change_password(self, principal: Principal, current: str, new: str, address: str) -> None:
        """Set a user's own password and end their other sessions; raises `InvalidCredentials`."""
        if principal.user_id is None:
            raise InvalidCredentials("A key has no password.")
        tried = self._attempt_keys(str(principal.user_id), address)
        async with self._database.transaction(principal.tenant_id) as session:
            wait = await _admit_attempt(LoginAttempts(session), tried)
            hashed = await UserRepository(session, principal.tenant_id).find_password_hash(principal.user_id)
        _refuse_while_waiting(wait)
        if not await self._hasher.verify(current, hashed):
            raise InvalidCredentials("The current password is wrong.")
        renewed = await self._hasher.hash(new)
        async with self._database.transaction(principal.tenant_id) as session:
            await UserRepository(session, principal.tenant_id).change(principal.user_id, password_hash=renewed)
            sessions = SessionRepository(session, principal.tenant_id)
            await sessions.revoke_all(principal.user_id, but=principal.session_id)
            for key in tried:
                await LoginAttempts(session).forget(key)
            trail = self._trails.open(session, principal.tenant_id, principal.name)
            await trail.record(AuditAction.PASSWORD_CHANGED, f"user:{principal.user_id}")

    async def authenticate(self, credential: str) -> Principal:
        """Who sends this access token or API key, with the rights they have now; raises an `AuthenticationFailed`."""
        if credential.startswith(PREFIX):
            return await self._authenticate_key(credential)
        claims = self._tokens.read(TokenKind.ACCESS, credential)
        callers = HotQueries(self._database, claims.tenant_id)
        principal = await callers.find_user(claims.session_id, claims.user_id)
        if principal is None:
            raise TokenRevoked
        return principal

    async def _authenticate_key(self, credential: str) -> Principal:
        presented = parse_api_key(credential)
        if presented is None:
            raise TokenInvalid
        async with self._database.transaction(lookup=presented.public_id) as session:
            stored = await KeyDirectory(session).find(presented.public_id)
        key = self._keyring.find("api-keys", stored.key_id) if stored is not None else None
        # Only who knows the secret learns that a key expired or was revoked.
        if stored is None or key is None or not is_same_hash(stored.secret_hmac, hash_secret(key, presented.secret)):
            raise TokenInvalid
        if stored.revoked_at is not None:
            raise TokenRevoked("This key was revoked.")
        if stored.expires_at is not None and stored.expires_at <= datetime.now(UTC):
            raise TokenExpired("This key has expired.")
        current_id, current = self._keyring.current("api-keys")
        async with self._database.transaction(stored.tenant_id) as session:
            principals = PrincipalRepository(session, stored.tenant_id)
            principal = await principals.find_program(stored.id)
            if stored.key_id != current_id:  # the secret rolled: while we see the key, carry it over
                await principals.renew_hash(stored.id, current_id, hash_secret(current, presented.secret))
        if principal is None:
            raise TokenRevoked("This key was revoked.")
        return principal

    def _pair(self, claims: TokenClaims) -> TokenPair:
        access = self._tokens.issue(TokenKind.ACCESS, claims)
        refresh = self._tokens.issue(TokenKind.REFRESH, claims)
        return TokenPair(access, refresh, int(self._tokens.lifetime(TokenKind.ACCESS).total_seconds()))

    def _session_end(self) -> datetime:
        return datetime.now(UTC) + self._tokens.lifetime(TokenKind.REFRESH)

    def _attempt_keys(self, account: str, address: str) -> list[str]:
        """Keyed hashes, one a secret: the table tells nobody who tried from where, and a new
        secret gives no new tries."""
        subject = f"{account}\0{address}".encode()
        return [hmac.new(key, subject, hashlib.sha256).hexdigest() for key in self._keyring.all("login-tries")]


async def _admit_attempt(tries: LoginAttempts, keys: list[str]) -> timedelta | None:
    waits = [await tries.admit(key) for key in keys]
    return max((wait for wait in waits if wait is not None), default=None)


def _refuse_while_waiting(wait: timedelta | None) -> None:
    if wait is not None:
        seconds = math.ceil(wait.total_seconds())
        raise TooManyLoginAttempts(f"Try again in {seconds} seconds.", retry_after_s=seconds)
