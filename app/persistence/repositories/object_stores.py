"""Where each tenant's photos may be fetched from."""

from dataclasses import dataclass, field

from sqlalchemy.dialects.postgresql import insert

from app.domain.tenancy import ObjectStore
from app.persistence.models import ObjectStoreModel
from app.persistence.repositories.base import TenantRepository


@dataclass(frozen=True, slots=True)
class StoredObjectStore:
    """An object store with its secret, encrypted under the service key that `key_id` names."""

    store: ObjectStore
    key_id: str
    secret_encrypted: bytes = field(repr=False)


class ObjectStoreRepository(TenantRepository):
    """One tenant's object store."""

    async def get(self) -> StoredObjectStore | None:
        """The object store, if one is set."""
        row = await self._session.scalar(self._select(ObjectStoreModel))
        if row is None:
            return None
        return StoredObjectStore(
            ObjectStore(row.endpoint, row.region, row.access_key_id), row.key_id, row.secret_encrypted
        )

    async def put(self, stored: StoredObjectStore) -> None:
        """Set the object store."""
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
        """Forget the object store; False if there is none."""
        statement = self._delete(ObjectStoreModel).returning(ObjectStoreModel.tenant_id)
        return await self._session.scalar(statement) is not None
