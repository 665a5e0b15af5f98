"""Each tenant's object store, from which photos may be fetched."""

from dataclasses import dataclass, field

from sqlalchemy.dialects.postgresql import insert

from app.domain.tenancy import ObjectStore
from app.persistence.models import ObjectStoreModel
from app.persistence.repositories.base import TenantRepository


@dataclass(frozen=True, slots=True)
class StoredObjectStore:
    """An object store with its secret, encrypted under the service key with id `key_id`."""

    store: ObjectStore
    key_id: str
    secret_encrypted: bytes = field(repr=False)


class ObjectStoreRepository(TenantRepository):
    """One tenant's object store."""

    async def get(self) -> StoredObjectStore | None:
        row = await self._session.scalar(self._select(ObjectStoreModel))
        if row is None:
            return None
        return StoredObjectStore(
            ObjectStore(row.endpoint, row.region, row.access_key_id), row.key_id, row.secret_encrypted
        )

    async def save(self, stored: StoredObjectStore) -> None:
        """Create or replace the object store."""
        values = {
            "endpoint": stored.store.endpoint,
            "region": stored.store.region,
            "access_key_id": stored.store.access_key_id,
            "key_id": stored.key_id,
            "secret_encrypted": stored.secret_encrypted,
        }
        statement = insert(ObjectStoreModel).values(self._row(**values))
        await self._session.execute(statement.on_conflict_do_update(index_elements=["tenant_id"], set_=values))

    async def delete(self) -> bool:
        """Delete the object store; return False if there is none."""
        statement = self._delete(ObjectStoreModel).returning(ObjectStoreModel.tenant_id)
        return await self._session.scalar(statement) is not None
