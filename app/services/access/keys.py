"""API keys and access-key pairs: issued, rotated, revoked."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.tenancy import KeyRecord
from app.errors import InvalidParameter, KeyNotFound, PermissionDenied, TooManyKeys
from app.permissions import Principal, Scope, permissions_of
from app.persistence.repositories.keys import AccessKeyRepository, ApiKeyRepository
from app.security.access_keys import AccessKey, encrypt_secret, generate_access_key
from app.security.api_keys import generate_api_key, hash_secret
from app.security.keyring import Keyring
from app.services.audit.trail import AuditAction, AuditTrail

ALIVE_AT_A_TIME = 2
"""Keys of one name: the one in use and its successor, so that rotating needs no pause."""


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key and its secret, which is shown only now."""

    record: KeyRecord
    secret: str

    def __repr__(self) -> str:
        return f"IssuedKey({self.record.public_id})"


class KeyService:
    """The keys of the caller's tenant."""

    def __init__(
        self, api_keys: ApiKeyRepository, access_keys: AccessKeyRepository, keyring: Keyring, trail: AuditTrail
    ) -> None:
        self._trail = trail
        self._api_keys = api_keys
        self._access_keys = access_keys
        self._keyring = keyring

    async def issue(
        self,
        principal: Principal | None,
        *,
        name: str,
        scopes: list[Scope],
        collections: list[str] | None = None,
        expires_at: datetime | None = None,
    ) -> IssuedKey:
        """Issue an API key; raises `TooManyKeys` for a third of one name, `PermissionDenied` for more than one's own.

        `principal` None: the operator, who may issue anything.
        """
        _refuse_escalation(principal, scopes, collections)
        if collections is not None and Scope.ADMIN in scopes:
            raise InvalidParameter("collections: a key that manages users and keys reaches all.", field="collections")
        await self._api_keys.lock_name(name)
        if len(await self._api_keys.list(name)) >= ALIVE_AT_A_TIME:
            raise TooManyKeys
        fresh = generate_api_key()
        key_id, key = self._keyring.current("api-keys")
        record = await self._api_keys.add(
            name=name,
            public_id=fresh.public_id,
            key_id=key_id,
            secret_hmac=hash_secret(key, fresh.secret),
            scopes=[scope.value for scope in scopes],
            collections=collections,
            expires_at=expires_at,
        )
        names = [scope.value for scope in scopes]
        await self._trail.record(AuditAction.KEY_ISSUED, f"key:{record.id}", kind="api", scopes=names)
        return IssuedKey(record, fresh.text)

    async def rotate(self, principal: Principal, key_id: UUID) -> IssuedKey:
        """Issue a successor with the same name and rights; the old key lives until it is revoked."""
        old = await self.get(key_id)
        scopes = [Scope(scope) for scope in old.scopes if scope in set(Scope)]
        return await self.issue(
            principal,
            name=old.name or "",
            scopes=scopes,
            collections=list(old.collections) if old.collections is not None else None,
            expires_at=old.expires_at,
        )

    async def list_keys(self) -> list[KeyRecord]:
        """The live API keys."""
        return await self._api_keys.list()

    async def get(self, key_id: UUID) -> KeyRecord:
        """One live API key; raises `KeyNotFound`."""
        found = next((key for key in await self._api_keys.list() if key.id == key_id), None)
        if found is None:
            raise KeyNotFound
        return found

    async def revoke(self, key_id: UUID) -> None:
        """End an API key at once; raises `KeyNotFound`."""
        if not await self._api_keys.revoke(key_id):
            raise KeyNotFound
        await self._trail.record(AuditAction.KEY_REVOKED, f"key:{key_id}", kind="api")

    async def issue_access_key(self, principal: Principal | None, scopes: list[Scope]) -> tuple[KeyRecord, AccessKey]:
        """Issue a pair for signed requests."""
        _refuse_escalation(principal, scopes, None)
        fresh = generate_access_key()
        key_id, key = self._keyring.current("access-keys")
        record = await self._access_keys.add(
            public_id=fresh.public_id,
            key_id=key_id,
            secret_encrypted=encrypt_secret(key, fresh.public_id, fresh.secret),
            scopes=[scope.value for scope in scopes],
        )
        names = [scope.value for scope in scopes]
        await self._trail.record(AuditAction.KEY_ISSUED, f"key:{record.id}", kind="access", scopes=names)
        return record, fresh

    async def list_access_keys(self) -> list[KeyRecord]:
        """The live pairs."""
        return await self._access_keys.list()

    async def revoke_access_key(self, key_id: UUID) -> None:
        """End a pair at once; raises `KeyNotFound`."""
        if not await self._access_keys.revoke(key_id):
            raise KeyNotFound
        await self._trail.record(AuditAction.KEY_REVOKED, f"key:{key_id}", kind="access")


def _refuse_escalation(principal: Principal | None, scopes: list[Scope], collections: list[str] | None) -> None:
    """Nobody issues a key that may do more than they may themselves."""
    if principal is None:
        return
    missing = permissions_of([scope.value for scope in scopes]) - principal.permissions
    if missing:
        names = ", ".join(sorted(permission.value for permission in missing))
        raise PermissionDenied(f"You cannot issue a key that may do what you may not: {names}.")
    if principal.collections is not None and (collections is None or not principal.collections.issuperset(collections)):
        raise PermissionDenied("You cannot issue a key for collections that you cannot reach yourself.")
