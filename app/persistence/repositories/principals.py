"""Who is behind an API key, with the plan of their tenant. (Behind a session: `brief.py`.)"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.permissions import Plan, Principal, permissions_of
from app.persistence.models import AccessKeyModel, ApiKeyModel, PlanModel, TenantModel
from app.persistence.repositories.base import TenantRepository
from app.persistence.repositories.hot_queries import read_plan

_TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What checking a presented API key needs."""

    id: UUID
    tenant_id: UUID
    key_id: str
    secret_hmac: bytes
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredAccessKey:
    """What checking a signed request needs; the secret is encrypted under the service key that `key_id` names."""

    id: UUID
    tenant_id: UUID
    key_id: str
    secret_encrypted: bytes = field(repr=False)
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Signer:
    """The program behind an access key, and whether its use was noted within the last minute."""

    principal: Principal
    is_use_noted: bool


def _is_fresh(model: type[ApiKeyModel] | type[AccessKeyModel]) -> ColumnElement[bool]:
    return model.last_used_at > func.now() - _TOUCH_EVERY


class KeyDirectory:
    """Finds a key by its public id, whichever tenant it belongs to: nobody is known yet."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(self, public_id: str) -> StoredKey | None:
        """The key; the transaction must look it up by that id."""
        row = await self._session.scalar(select(ApiKeyModel).where(ApiKeyModel.public_id == public_id))
        if row is None:
            return None
        return StoredKey(row.id, row.tenant_id, row.key_id, row.secret_hmac, row.expires_at, row.revoked_at)

    async def find_access_key(self, public_id: str) -> StoredAccessKey | None:
        """The access key; the transaction must look it up by that id."""
        row = await self._session.scalar(select(AccessKeyModel).where(AccessKeyModel.public_id == public_id))
        if row is None:
            return None
        return StoredAccessKey(row.id, row.tenant_id, row.key_id, row.secret_encrypted, row.revoked_at)


class PrincipalRepository(TenantRepository):
    """The callers of one tenant."""

    async def find_program(self, key_id: UUID) -> Principal | None:
        """The program behind an API key, whose time of last use is noted, to the minute."""
        row = (await self._session.execute(self._with_plan(ApiKeyModel).where(ApiKeyModel.id == key_id))).one_or_none()
        if row is None:
            return None
        key, plan = row
        await self._note_use(ApiKeyModel, key_id)
        return Principal(
            key.tenant_id,
            permissions_of(key.scopes),
            describe_plan(plan),
            key_id=key.id,
            collections=frozenset(key.collections) if key.collections is not None else None,
        )

    async def find_signer(self, key_id: UUID) -> Signer | None:
        """The program behind an access key; nothing is noted, since it has not proved to be it yet."""
        statement = self._with_plan(AccessKeyModel).add_columns(_is_fresh(AccessKeyModel))
        row = (await self._session.execute(statement.where(AccessKeyModel.id == key_id))).one_or_none()
        if row is None:
            return None
        key, plan, is_fresh = row
        principal = Principal(key.tenant_id, permissions_of(key.scopes), describe_plan(plan), key_id=key.id)
        return Signer(principal, bool(is_fresh))

    async def note_signer(self, key_id: UUID) -> None:
        """Note that an access key was used, to the minute."""
        await self._note_use(AccessKeyModel, key_id)

    async def _note_use(self, model: type[ApiKeyModel] | type[AccessKeyModel], key_id: UUID) -> None:
        noted = self._update(model, model.id == key_id, _is_fresh(model).is_not(True))
        await self._session.execute(noted.values(last_used_at=func.now()))

    async def renew_hash(self, key_id: UUID, under: str, secret_hmac: bytes) -> None:
        """Keep a key's hash under another service key."""
        statement = self._update(ApiKeyModel, ApiKeyModel.id == key_id)
        await self._session.execute(statement.values(key_id=under, secret_hmac=secret_hmac))

    def _with_plan(self, model: Any) -> Select[Any, PlanModel]:
        return (
            select(model, PlanModel)
            .join(TenantModel, TenantModel.id == model.tenant_id)
            .join(PlanModel, PlanModel.name == TenantModel.plan)
            .where(self._own(model))
            .execution_options(populate_existing=True)
        )


def describe_plan(row: PlanModel) -> Plan:
    """The domain's value of a stored plan."""
    return read_plan(row.name, row.rates, row.quotas)
