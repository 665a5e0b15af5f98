"""Issue, rotate, list and revoke API keys and access keys."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.tenancy import KeyRecord
from app.errors import InvalidParameter, KeyNotFound, PermissionDenied, TooManyKeys
from app.permissions import Principal, Scope, permissions_of
from app.persistence.repositories.keys import AccessKeyRepository, ApiKeyRepository
from app.security.access_keys import AccessKey, encrypt_secret, generate_access_key
from app.security.cursors import CursorSigner, read_created, write_created
from app.security.keyring import Keyring
from app.security.secret_tokens import SecretToken, TokenPrefix, hash_secret
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.paging import Page, PageRequest, cut_page

MAX_KEYS_PER_NAME = 2
"""The key in use and its successor, so that a rotation needs no downtime."""


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key and its secret, which is shown only once."""

    record: KeyRecord
    secret: str

    def __repr__(self) -> str:
        return f"IssuedKey({self.record.public_id})"


class KeyService:
    """Manage the keys of the caller's tenant."""

    def __init__(
        self, api_keys: ApiKeyRepository, access_keys: AccessKeyRepository, keyring: Keyring, trail: AuditTrail
    ) -> None:
        self._trail = trail
        self._api_keys = api_keys
        self._access_keys = access_keys
        self._keyring = keyring
        self._cursors = CursorSigner(keyring)

    async def issue(
        self,
        principal: Principal | None,
        *,
        name: str,
        scopes: list[Scope],
        collections: list[str] | None = None,
        expires_at: datetime | None = None,
    ) -> IssuedKey:
        """Issue an API key.

        `principal` is None for the operator, who may issue any key. Raises `TooManyKeys` if two active keys have this
        name, `PermissionDenied` if the key could do more than the caller, or `InvalidParameter`.
        """
        _refuse_escalation(principal, scopes, collections)
        if collections is not None and Scope.ADMIN in scopes:
            raise InvalidParameter(
                f"collections: a key with the scope {Scope.ADMIN.value!r} cannot be limited to collections; leave out "
                f"either the scope or the collections.",
                field="collections",
            )
        await self._api_keys.lock_name(name)
        if await self._api_keys.count_named(name) >= MAX_KEYS_PER_NAME:
            raise TooManyKeys
        fresh = SecretToken.generate(TokenPrefix.API_KEY)
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
        """Issue a successor with the same name and scopes; the old key works until it is revoked."""
        old = await self.get(key_id)
        scopes = [Scope(scope) for scope in old.scopes if scope in set(Scope)]
        return await self.issue(
            principal,
            name=old.name or "",
            scopes=scopes,
            collections=list(old.collections) if old.collections is not None else None,
            expires_at=old.expires_at,
        )

    async def list_keys(self, request: PageRequest) -> Page[KeyRecord]:
        """List one page of the active API keys, oldest first; raises `InvalidCursor`."""
        return await self._list(self._api_keys, "keys", request)

    async def get(self, key_id: UUID) -> KeyRecord:
        """Return one active API key; raises `KeyNotFound`."""
        found = await self._api_keys.find(key_id)
        if found is None:
            raise KeyNotFound
        return found

    async def revoke(self, key_id: UUID) -> None:
        """Revoke an API key, effective immediately; raises `KeyNotFound`."""
        if not await self._api_keys.revoke(key_id):
            raise KeyNotFound
        await self._trail.record(AuditAction.KEY_REVOKED, f"key:{key_id}", kind="api")

    async def issue_access_key(self, principal: Principal | None, scopes: list[Scope]) -> tuple[KeyRecord, AccessKey]:
        """Issue an access key, a pair of id and secret, for signed requests; raises `PermissionDenied`."""
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

    async def list_access_keys(self, request: PageRequest) -> Page[KeyRecord]:
        """List one page of the active access keys, oldest first; raises `InvalidCursor`."""
        return await self._list(self._access_keys, "access-keys", request)

    async def revoke_access_key(self, key_id: UUID) -> None:
        """Revoke an access key, effective immediately; raises `KeyNotFound`."""
        if not await self._access_keys.revoke(key_id):
            raise KeyNotFound
        await self._trail.record(AuditAction.KEY_REVOKED, f"key:{key_id}", kind="access")

    async def _list(
        self, keys: ApiKeyRepository | AccessKeyRepository, name: str, request: PageRequest
    ) -> Page[KeyRecord]:
        scope = f"{keys.tenant_id}/{name}"
        after = self._cursors.open(scope, request.cursor, read_created) if request.cursor else None
        found = await keys.list_page(after, request.limit + 1)
        return cut_page(
            found, request.limit, lambda last: self._cursors.sign(scope, write_created(last.created_at, last.id))
        )


def _refuse_escalation(principal: Principal | None, scopes: list[Scope], collections: list[str] | None) -> None:
    """Raise `PermissionDenied` for a key that could do more than its issuer."""
    if principal is None:
        return
    missing = permissions_of([scope.value for scope in scopes]) - principal.permissions
    if missing:
        names = ", ".join(sorted(permission.value for permission in missing))
        raise PermissionDenied(f"scopes: you cannot issue a key with permissions that you do not have: {names}.")
    if principal.collections is not None and (collections is None or not principal.collections.issuperset(collections)):
        raise PermissionDenied("collections: you cannot issue a key for collections that you cannot access.")
