"""Links by which people set passwords: invitations, and resets of forgotten passwords."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.accounts import AccountLink, Invitation, LinkKind
from app.domain.text import normalize_email
from app.persistence.models import AccountLinkModel
from app.persistence.repositories.base import TenantRepository, page_by_creation

_KEPT = timedelta(days=30)
"""How long an expired link, which has an email, is kept."""


@dataclass(frozen=True, slots=True)
class StoredAccountLink:
    """The stored part of a link, to verify a presented token against."""

    id: UUID
    tenant_id: UUID
    key_id: str
    secret_hmac: bytes = field(repr=False)


class AccountLinkRepository(TenantRepository):
    """The links of one tenant that were neither used nor revoked, and have not expired."""

    async def add(
        self,
        kind: LinkKind,
        *,
        email: str,
        public_id: str,
        key_id: str,
        secret_hmac: bytes,
        created_by: str,
        expires_at: datetime,
        role: str | None = None,
        user_id: UUID | None = None,
    ) -> UUID:
        """Add a link and return its id; deletes links that expired a month ago."""
        await self._session.execute(self._delete(AccountLinkModel, AccountLinkModel.expires_at < func.now() - _KEPT))
        row = AccountLinkModel(
            **self._row(
                kind=kind.value,
                email=normalize_email(email),
                role=role,
                user_id=user_id,
                public_id=public_id,
                key_id=key_id,
                secret_hmac=secret_hmac,
                created_by=created_by,
                expires_at=expires_at,
            )
        )
        self._session.add(row)
        await self._session.flush()
        return row.id

    async def list_invitations(self, after: tuple[datetime, UUID] | None, limit: int) -> list[Invitation]:
        """List up to `limit` invitations after a time of creation and an id, oldest first."""
        statement = self._select(AccountLinkModel, *_live(LinkKind.INVITATION))
        rows = await self._session.scalars(page_by_creation(statement, AccountLinkModel, after, limit))
        return [_describe_invitation(row) for row in rows]

    async def find_invitation(self, link_id: UUID) -> Invitation | None:
        statement = self._select(AccountLinkModel, AccountLinkModel.id == link_id, *_live(LinkKind.INVITATION))
        row = await self._session.scalar(statement)
        return _describe_invitation(row) if row is not None else None

    async def find(self, link_id: UUID, kind: LinkKind, *, lock: bool = False) -> AccountLink | None:
        """Find a link; `lock` lets no other transaction use it meanwhile."""
        statement = self._select(AccountLinkModel, AccountLinkModel.id == link_id, *_live(kind))
        row = await self._session.scalar(statement.with_for_update() if lock else statement)
        if row is None:
            return None
        return AccountLink(row.id, LinkKind(row.kind), row.email, row.role, row.user_id, row.created_by, row.expires_at)

    async def end(self, link_id: UUID, kind: LinkKind) -> bool:
        """End a link; return False if there is none."""
        return await self._end(kind, AccountLinkModel.id == link_id) > 0

    async def end_invitations_of(self, email: str) -> None:
        """End the invitations of an email, so that the newest alone can be accepted."""
        await self._end(LinkKind.INVITATION, AccountLinkModel.email == normalize_email(email))

    async def end_resets_of(self, user_id: UUID) -> None:
        """End the links by which a user's password can be reset."""
        await self._end(LinkKind.RESET, AccountLinkModel.user_id == user_id)

    async def count_resets_of(self, user_id: UUID, created_by: str, since: datetime) -> int:
        """Count the links that this actor created for a user since a time, used or not."""
        conditions = (
            AccountLinkModel.user_id == user_id,
            AccountLinkModel.created_by == created_by,
            AccountLinkModel.created_at > since,
        )
        statement = self._select(AccountLinkModel, *conditions).with_only_columns(func.count())
        count: int = (await self._session.execute(statement)).scalar_one()
        return count

    async def _end(self, kind: LinkKind, condition: ColumnElement[bool]) -> int:
        statement = self._update(AccountLinkModel, condition, *_live(kind)).values(ended_at=func.now())
        return len(list(await self._session.scalars(statement.returning(AccountLinkModel.id))))


def _live(kind: LinkKind) -> tuple[ColumnElement[bool], ...]:
    model = AccountLinkModel
    return model.kind == kind.value, model.ended_at.is_(None), model.expires_at > func.now()


def _describe_invitation(row: Any) -> Invitation:
    return Invitation(row.id, row.email, row.role, row.created_at, row.expires_at, row.created_by)


async def find_account_link(session: AsyncSession, public_id: str) -> StoredAccountLink | None:
    """Find a link of any tenant, live or not; the transaction's `lookup` must be the public id."""
    row = await session.scalar(select(AccountLinkModel).where(AccountLinkModel.public_id == public_id))
    return StoredAccountLink(row.id, row.tenant_id, row.key_id, row.secret_hmac) if row is not None else None
