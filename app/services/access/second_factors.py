"""Set up second factors, ask for them at sign-in, and replace lost ones by recovery codes."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from app.domain.accounts import StoredFactor
from app.errors import (
    InvalidCredentials,
    SecondFactorExists,
    SecondFactorMissing,
    SecondFactorNeeded,
    SecondFactorWrong,
)
from app.permissions import Principal
from app.persistence.connections.database import Database, Transaction
from app.persistence.repositories.policies import PolicyRepository
from app.persistence.repositories.second_factors import SecondFactorRepository
from app.persistence.repositories.sessions import SessionRepository
from app.persistence.repositories.users import Login
from app.security.access_keys import decrypt_secret, encrypt_secret
from app.security.keyring import Keyring
from app.security.one_time_codes import (
    describe_secret,
    draw_qr_code,
    find_step,
    generate_recovery_codes,
    generate_secret,
    hash_recovery_code,
    is_one_time_code,
)
from app.services.access.attempts import GuessLimit
from app.services.access.own_password import OwnPassword
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrails

_SECRETS = "second-factors"
_CODES = "recovery-codes"
_ISSUER = "Vultus"


@dataclass(frozen=True, slots=True)
class SecondFactorState:
    """Whether a user has a second factor, how many recovery codes are left, and whether the tenant demands one."""

    confirmed_at: datetime | None
    recovery_codes: int
    is_required: bool


@dataclass(frozen=True, slots=True)
class Enrollment:
    """A secret for an authenticator app, also as its URI and as a picture of that; shown only once."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    qr_code: str = field(repr=False)


class SecondFactorService:
    """Manage the second factors of users; opens its own transactions, as `AuthService` does."""

    def __init__(self, database: Database, keyring: Keyring, trails: AuditTrails, own_password: OwnPassword) -> None:
        self._database = database
        self._keyring = keyring
        self._trails = trails
        self._own_password = own_password

    async def check(self, login: Login, code: str | None, address: str) -> None:
        """Check the code of a user who sends the right password; without a second factor, none is needed.

        Each code is accepted once. Raises `SecondFactorNeeded`, `SecondFactorWrong` or `TooManyLoginAttempts`.
        """
        async with self._database.transaction(login.tenant_id) as session:
            stored = await SecondFactorRepository(session, login.tenant_id).find(login.user_id)
        if stored is None or stored.confirmed_at is None:
            return
        if not code:
            raise SecondFactorNeeded
        await self._check_code(login.tenant_id, login.user_id, stored, code, address)

    async def describe(self, principal: Principal) -> SecondFactorState:
        """Return the state of the caller's second factor; raises `InvalidCredentials` for an API key."""
        user_id = _user_of(principal)
        async with self._database.transaction(principal.tenant_id) as session:
            factors = SecondFactorRepository(session, principal.tenant_id)
            stored = await factors.find(user_id)
            count = await factors.count_codes(user_id)
            policy = await PolicyRepository(session, principal.tenant_id).get()
        confirmed_at = stored.confirmed_at if stored is not None else None
        return SecondFactorState(confirmed_at, count, policy.second_factor_required)

    async def begin(self, principal: Principal, password: str, address: str) -> Enrollment:
        """Make a secret, which counts once a code of it is confirmed; replaces one that is not confirmed.

        Raises `SecondFactorExists`, `InvalidCredentials` or `TooManyLoginAttempts`.
        """
        user_id = await self._own_password.check(principal, password, address)
        secret = generate_secret()
        key_id, key = self._keyring.current(_SECRETS)
        async with self._database.transaction(principal.tenant_id) as session:
            factors = SecondFactorRepository(session, principal.tenant_id)
            if not await factors.begin(user_id, key_id, encrypt_secret(key, str(user_id), secret)):
                raise SecondFactorExists
        uri = describe_secret(secret, principal.email or str(user_id), _ISSUER)
        return Enrollment(secret, uri, draw_qr_code(uri))

    async def confirm(self, principal: Principal, code: str) -> list[str]:
        """Turn the second factor on by a code, end the user's other sessions, and return new recovery codes.

        Raises `SecondFactorMissing` if none was begun, `SecondFactorExists` or `SecondFactorWrong`.
        """
        user_id = _user_of(principal)
        async with self._database.transaction(principal.tenant_id) as session:
            factors = SecondFactorRepository(session, principal.tenant_id)
            stored = await factors.find(user_id)
            if stored is None:
                raise SecondFactorMissing("Begin with `POST /auth/second-factor`.")
            if stored.confirmed_at is not None:
                raise SecondFactorExists
            step = find_step(self._decrypt(user_id, stored), code, time.time())
            if step is None or not await factors.use_step(user_id, step) or not await factors.confirm(user_id):
                raise SecondFactorWrong
            codes = await self._replace_codes(factors, user_id)
            sessions = SessionRepository(session, principal.tenant_id)
            await sessions.revoke_all(user_id, except_id=principal.session_id)
            await self._record(session, principal, AuditAction.SECOND_FACTOR_ENABLED, user_id)
        return codes

    async def replace_recovery_codes(self, principal: Principal, password: str, code: str, address: str) -> list[str]:
        """Return new recovery codes; the earlier ones stop working. Raises as `remove` does."""
        user_id = await self._check_both(principal, password, code, address)
        async with self._database.transaction(principal.tenant_id) as session:
            codes = await self._replace_codes(SecondFactorRepository(session, principal.tenant_id), user_id)
            await self._record(session, principal, AuditAction.RECOVERY_CODES_REPLACED, user_id)
        return codes

    async def remove(self, principal: Principal, password: str, code: str, address: str) -> None:
        """Remove the caller's second factor.

        Raises `SecondFactorMissing`, `SecondFactorWrong`, `InvalidCredentials` or `TooManyLoginAttempts`.
        """
        user_id = await self._check_both(principal, password, code, address)
        async with self._database.transaction(principal.tenant_id) as session:
            await SecondFactorRepository(session, principal.tenant_id).delete(user_id)
            await self._record(session, principal, AuditAction.SECOND_FACTOR_REMOVED, user_id)

    async def _check_both(self, principal: Principal, password: str, code: str, address: str) -> UUID:
        user_id = await self._own_password.check(principal, password, address)
        async with self._database.transaction(principal.tenant_id) as session:
            stored = await SecondFactorRepository(session, principal.tenant_id).find(user_id)
        if stored is None or stored.confirmed_at is None:
            raise SecondFactorMissing
        await self._check_code(principal.tenant_id, user_id, stored, code, address)
        return user_id

    async def _check_code(self, tenant_id: UUID, user_id: UUID, stored: StoredFactor, code: str, address: str) -> None:
        limit = GuessLimit(self._keyring, f"second-factor:{user_id}", address)
        async with self._database.transaction(tenant_id) as session:
            await limit.count(session)
        async with self._database.transaction(tenant_id) as session:
            factors = SecondFactorRepository(session, tenant_id)
            if is_one_time_code(code):
                secret = self._decrypt(user_id, stored)
                step = find_step(secret, code, time.time())
                is_right = step is not None and await factors.use_step(user_id, step)
                if is_right:
                    await self._reencrypt(factors, user_id, stored, secret)
            else:
                hashes = [hash_recovery_code(key, code) for key in self._keyring.all(_CODES)]
                is_right = await factors.use_code(user_id, hashes)
                if is_right:
                    trail = self._trails.open(session, tenant_id, f"user:{user_id}")
                    await trail.record(AuditAction.RECOVERY_CODE_USED, f"user:{user_id}")
            if not is_right:
                raise SecondFactorWrong
            await limit.succeed(session)

    async def _replace_codes(self, factors: SecondFactorRepository, user_id: UUID) -> list[str]:
        codes = generate_recovery_codes()
        _, key = self._keyring.current(_CODES)
        await factors.replace_codes(user_id, [hash_recovery_code(key, code) for code in codes])
        return codes

    async def _reencrypt(
        self, factors: SecondFactorRepository, user_id: UUID, stored: StoredFactor, secret: str
    ) -> None:
        """Encrypt a secret under the current service key if it was under a previous one."""
        key_id, key = self._keyring.current(_SECRETS)
        if stored.key_id != key_id:
            await factors.reencrypt(user_id, key_id, encrypt_secret(key, str(user_id), secret))

    def _decrypt(self, user_id: UUID, stored: StoredFactor) -> str:
        key = self._keyring.find(_SECRETS, stored.key_id)
        secret = decrypt_secret(key, str(user_id), stored.secret_encrypted) if key is not None else None
        if secret is None:
            raise SecondFactorWrong("The second factor cannot be checked anymore; an admin must remove it.")
        return secret

    async def _record(self, session: Transaction, principal: Principal, action: AuditAction, user_id: UUID) -> None:
        await self._trails.open(session, principal.tenant_id, principal.name).record(action, f"user:{user_id}")


def _user_of(principal: Principal) -> UUID:
    if principal.user_id is None:
        raise InvalidCredentials("An API key has no second factor; sign in as a user.")
    return principal.user_id
