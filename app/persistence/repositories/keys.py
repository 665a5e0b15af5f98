"""A tenant's API keys and access keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, or_, select

from app.domain.tenancy import KeyRecord
from app.persistence.models import AccessKeyModel, ApiKeyModel
from app.persistence.repositories.base import TenantRepository, page_by_creation


class ApiKeyRepository(TenantRepository):
    """The live API keys of one tenant."""

    async def add(
        self,
        *,
        name: str,
        public_id: str,
        key_id: str,
        secret_hmac: bytes,
        scopes: list[str],
        collections: list[str] | None,
        expires_at: datetime | None,
    ) -> KeyRecord:
        row = ApiKeyModel(
            **self._row(
                name=name,
                public_id=public_id,
                key_id=key_id,
                secret_hmac=secret_hmac,
                scopes=scopes,
                collections=collections,
                expires_at=expires_at,
            )
        )
        self._session.add(row)
        await self._session.flush()
        return _api_key(row)

    async def lock_name(self, name: str) -> None:
        """Lock a key name, so that no other transaction issues a key of this name until this one ends."""
        lock = func.pg_advisory_xact_lock(func.hashtextextended(f"{self._tenant_id}/{name}", 0))
        await self._session.execute(select(lock))

    async def list_page(self, after: tuple[datetime, UUID] | None, limit: int) -> list[KeyRecord]:
        """List up to `limit` live keys after a time of creation and a row id, oldest first."""
        statement = page_by_creation(self._select_live(), ApiKeyModel, after, limit)
        return [_api_key(row) for row in await self._session.scalars(statement)]

    async def find(self, key_id: UUID) -> KeyRecord | None:
        """Find a live key."""
        row = await self._session.scalar(self._select_live().where(ApiKeyModel.id == key_id))
        return _api_key(row) if row is not None else None

    async def count_named(self, name: str) -> int:
        """Count the live keys of a name."""
        keys = self._select_live().where(ApiKeyModel.name == name).with_only_columns(func.count())
        return await self._session.scalar(keys) or 0

    def _select_live(self) -> Select[ApiKeyModel]:
        """Select the keys that are neither revoked nor expired."""
        live = or_(ApiKeyModel.expires_at.is_(None), ApiKeyModel.expires_at > func.now())
        return self._select(ApiKeyModel, ApiKeyModel.revoked_at.is_(None), live)

    async def revoke(self, key_id: UUID) -> bool:
        """Revoke a key; return False if there is no such unrevoked key."""
        statement = self._update(ApiKeyModel, ApiKeyModel.id == key_id, ApiKeyModel.revoked_at.is_(None))
        return await self._session.scalar(statement.values(revoked_at=func.now()).returning(ApiKeyModel.id)) is not None


class AccessKeyRepository(TenantRepository):
    """The live access keys of one tenant."""

    async def add(self, *, public_id: str, key_id: str, secret_encrypted: bytes, scopes: list[str]) -> KeyRecord:
        values = self._row(public_id=public_id, key_id=key_id, secret_encrypted=secret_encrypted, scopes=scopes)
        row = AccessKeyModel(**values)
        self._session.add(row)
        await self._session.flush()
        return _access_key(row)

    async def list_page(self, after: tuple[datetime, UUID] | None, limit: int) -> list[KeyRecord]:
        """List up to `limit` unrevoked access keys after a time of creation and a row id, oldest first."""
        keys = self._select(AccessKeyModel, AccessKeyModel.revoked_at.is_(None))
        statement = page_by_creation(keys, AccessKeyModel, after, limit)
        return [_access_key(row) for row in await self._session.scalars(statement)]

    async def revoke(self, key_id: UUID) -> bool:
        """Revoke an access key; return False if there is no such unrevoked key."""
        statement = self._update(AccessKeyModel, AccessKeyModel.id == key_id, AccessKeyModel.revoked_at.is_(None))
        revoked = statement.values(revoked_at=func.now()).returning(AccessKeyModel.id)
        return await self._session.scalar(revoked) is not None


def _api_key(row: ApiKeyModel) -> KeyRecord:
    collections = tuple(row.collections) if row.collections is not None else None
    return KeyRecord(
        row.id,
        row.public_id,
        tuple(row.scopes),
        row.created_at,
        row.last_used_at,
        row.name,
        collections,
        row.expires_at,
    )


def _access_key(row: AccessKeyModel) -> KeyRecord:
    return KeyRecord(row.id, row.public_id, tuple(row.scopes), row.created_at, row.last_used_at)
