"""Second factors of users, and the recovery codes that replace them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert

from app.domain.accounts import StoredFactor
from app.persistence.models import RecoveryCodeModel, SecondFactorModel
from app.persistence.repositories.base import TenantRepository


class SecondFactorRepository(TenantRepository):
    """The second factors of one tenant's users."""

    async def find(self, user_id: UUID) -> StoredFactor | None:
        row = await self._session.scalar(self._select(SecondFactorModel, SecondFactorModel.user_id == user_id))
        return StoredFactor(row.key_id, row.secret_encrypted, row.confirmed_at) if row is not None else None

    async def begin(self, user_id: UUID, key_id: str, secret_encrypted: bytes) -> bool:
        """Store a secret that is not confirmed yet, in place of another such; return False if one is confirmed."""
        values = {"key_id": key_id, "secret_encrypted": secret_encrypted, "last_step": 0}
        statement = insert(SecondFactorModel).values(self._row(user_id=user_id, **values))
        statement = statement.on_conflict_do_update(
            index_elements=["tenant_id", "user_id"], set_=values, where=SecondFactorModel.confirmed_at.is_(None)
        )
        return await self._session.scalar(statement.returning(SecondFactorModel.user_id)) is not None

    async def reencrypt(self, user_id: UUID, key_id: str, secret_encrypted: bytes) -> None:
        """Store a secret encrypted under another service key."""
        statement = self._update(SecondFactorModel, SecondFactorModel.user_id == user_id)
        await self._session.execute(statement.values(key_id=key_id, secret_encrypted=secret_encrypted))

    async def confirm(self, user_id: UUID) -> bool:
        """Confirm a secret; return False if none waits for it."""
        unconfirmed = SecondFactorModel.confirmed_at.is_(None)
        statement = self._update(SecondFactorModel, SecondFactorModel.user_id == user_id, unconfirmed)
        statement = statement.values(confirmed_at=func.now())
        return await self._session.scalar(statement.returning(SecondFactorModel.user_id)) is not None

    async def use_step(self, user_id: UUID, step: int) -> bool:
        """Note that the code of a time step was used; return False if it or a later one was used before."""
        is_newer = SecondFactorModel.last_step < step
        statement = self._update(SecondFactorModel, SecondFactorModel.user_id == user_id, is_newer)
        statement = statement.values(last_step=step)
        return await self._session.scalar(statement.returning(SecondFactorModel.user_id)) is not None

    async def delete(self, user_id: UUID) -> bool:
        """Delete a second factor with its recovery codes; return False if there is none."""
        statement = self._delete(SecondFactorModel, SecondFactorModel.user_id == user_id)
        return await self._session.scalar(statement.returning(SecondFactorModel.user_id)) is not None

    async def replace_codes(self, user_id: UUID, hashes: Sequence[bytes]) -> None:
        """Replace a user's recovery codes."""
        await self._session.execute(self._delete(RecoveryCodeModel, RecoveryCodeModel.user_id == user_id))
        self._session.add_all(
            RecoveryCodeModel(**self._row(user_id=user_id, code_hmac=code_hmac)) for code_hmac in hashes
        )
        await self._session.flush()

    async def use_code(self, user_id: UUID, hashes: Sequence[bytes]) -> bool:
        """Use up the recovery code with one of these hashes; return False if there is none that was not used."""
        conditions = (
            RecoveryCodeModel.user_id == user_id,
            RecoveryCodeModel.code_hmac.in_(hashes),
            RecoveryCodeModel.used_at.is_(None),
        )
        statement = self._update(RecoveryCodeModel, *conditions).values(used_at=func.now())
        return await self._session.scalar(statement.returning(RecoveryCodeModel.id)) is not None

    async def count_codes(self, user_id: UUID) -> int:
        """Count the recovery codes that were not used."""
        conditions = RecoveryCodeModel.user_id == user_id, RecoveryCodeModel.used_at.is_(None)
        statement = self._select(RecoveryCodeModel, *conditions).with_only_columns(func.count())
        count: int = (await self._session.execute(statement)).scalar_one()
        return count
