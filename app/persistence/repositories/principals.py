"""Finds the principal behind an access key, with the tenant's plan. (Sessions and API keys: `hot_queries.py`.)"""

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

_TOUCH_INTERVAL = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class StoredAccessKey:
    """The stored part of an access key, to verify a signed request with.

    The secret is encrypted under the service key with id `key_id`.
    """

    id: UUID
    tenant_id: UUID
    key_id: str
    secret_encrypted: bytes = field(repr=False)
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Signer:
    """The program behind an access key, and whether its last use was recorded within the last minute."""

    principal: Principal
    was_just_used: bool


def _is_fresh() -> ColumnElement[bool]:
    return AccessKeyModel.last_used_at > func.now() - _TOUCH_INTERVAL


class KeyDirectory:
    """Finds access keys by public id across tenants, before the caller is authenticated.

    The transaction's `lookup` must be that public id; otherwise row-level security hides the row.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find_access_key(self, public_id: str) -> StoredAccessKey | None:
        row = await self._session.scalar(select(AccessKeyModel).where(AccessKeyModel.public_id == public_id))
        if row is None:
            return None
        return StoredAccessKey(row.id, row.tenant_id, row.key_id, row.secret_encrypted, row.revoked_at)


class PrincipalRepository(TenantRepository):
    """The callers of one tenant."""

    async def find_by_access_key(self, key_id: UUID) -> Signer | None:
        """Find the program behind an access key, without recording a use: the signature is not verified yet."""
        statement = self._with_plan(AccessKeyModel).add_columns(_is_fresh())
        row = (await self._session.execute(statement.where(AccessKeyModel.id == key_id))).one_or_none()
        if row is None:
            return None
        key, plan, is_fresh = row
        principal = Principal(key.tenant_id, permissions_of(key.scopes), describe_plan(plan), key_id=key.id)
        return Signer(principal, bool(is_fresh))

    async def touch_access_key(self, key_id: UUID) -> None:
        """Record the use of an access key, to the minute."""
        statement = self._update(AccessKeyModel, AccessKeyModel.id == key_id, _is_fresh().is_not(True))
        await self._session.execute(statement.values(last_used_at=func.now()))

    async def update_hash(self, key_id: UUID, service_key_id: str, secret_hmac: bytes) -> None:
        """Replace an API key's hash by one under another service key."""
        statement = self._update(ApiKeyModel, ApiKeyModel.id == key_id)
        await self._session.execute(statement.values(key_id=service_key_id, secret_hmac=secret_hmac))

    def _with_plan(self, model: Any) -> Select[Any, PlanModel]:
        return (
            select(model, PlanModel)
            .join(TenantModel, TenantModel.id == model.tenant_id)
            .join(PlanModel, PlanModel.name == TenantModel.plan)
            .where(self._of_tenant(model))
            .execution_options(populate_existing=True)
        )


def describe_plan(row: PlanModel) -> Plan:
    return read_plan(row.name, row.rates, row.quotas)
