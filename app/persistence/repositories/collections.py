"""Collections: counts, recognizers, decision settings and tags."""

from collections.abc import Mapping
from typing import Any, overload
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Select, func, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.collections import Collection, CollectionRecord, Recognizers
from app.domain.decisions import Calibration, DecisionPolicy
from app.persistence.erasure_journal import ErasedKind
from app.persistence.models import CollectionModel, GalleryModel, SubjectModel
from app.persistence.repositories.base import TenantRepository

_SEARCHED_TEMPLATES = func.coalesce(
    func.sum(GalleryModel.templates).filter(
        CollectionModel.recognizer.is_(None) | (GalleryModel.recognizer == CollectionModel.recognizer)
    ),
    0,
).cast(BigInteger)


class CollectionRepository(TenantRepository):
    """One tenant's collections; `only` limits them to those that an API key may access."""

    def __init__(self, session: AsyncSession, tenant_id: UUID, only: frozenset[str] | None = None) -> None:
        super().__init__(session, tenant_id)
        self._only = only

    def may_access(self, name: str) -> bool:
        """Whether the caller's key allows a collection of this name, existing or not."""
        return self._only is None or name in self._only

    async def add(self, name: str) -> Collection | None:
        """Create an empty collection; return None if the name is taken."""
        statement = insert(CollectionModel).values(self._row(name=name)).on_conflict_do_nothing()
        created = await self._session.scalar(statement.returning(CollectionModel))
        return Collection(created.id, created.name, created.created_at, 0, 0) if created is not None else None

    async def find(self, name: str) -> Collection | None:
        """Find a collection by name, with its counts."""
        row = (await self._session.execute(self._counted().where(CollectionModel.name == name))).one_or_none()
        return _describe(row) if row is not None else None

    async def find_row(self, name: str, *, lock: bool = False, exclusive: bool = False) -> CollectionRecord | None:
        """Find a collection without its counts.

        `lock` prevents its deletion until the transaction ends. `exclusive` also prevents updates of its row; faces can
        still be stored and erased.
        """
        statement = self._select(CollectionModel, CollectionModel.name == name, self._visible())
        if lock or exclusive:
            statement = statement.with_for_update(read=not exclusive, key_share=True)
        return _record(await self._session.scalar(statement))

    async def find_by_id(self, collection_id: UUID) -> CollectionRecord | None:
        """Find a collection by its id, without its counts."""
        return _record(await self._session.scalar(self._select(CollectionModel, CollectionModel.id == collection_id)))

    async def lock_rows(self, *names: str) -> dict[str, CollectionRecord]:
        """Prevent the deletion of collections until the transaction ends; return those that exist.

        They are locked in the order of their ids, which two collections need.
        """
        listed = self._select(CollectionModel, CollectionModel.name.in_(names), self._visible())
        rows = listed.order_by(CollectionModel.id).with_for_update(read=True, key_share=True)
        return {row.name: _record(row) for row in await self._session.scalars(rows)}

    async def list_page(self, after: str | None, limit: int) -> list[Collection]:
        """List up to `limit` collections after the name `after`, by name."""
        statement = self._counted().order_by(CollectionModel.name).limit(limit)
        if after is not None:
            statement = statement.where(CollectionModel.name > after)
        return [_describe(row) for row in await self._session.execute(statement)]

    async def list_by_id(self, after: UUID | None, limit: int) -> list[CollectionRecord]:
        """List up to `limit` collections after an id, by id and without counts."""
        statement = self._select(CollectionModel, self._visible()).order_by(CollectionModel.id).limit(limit)
        if after is not None:
            statement = statement.where(CollectionModel.id > after)
        return [_record(row) for row in await self._session.scalars(statement)]

    async def count_templates(self, collection_id: UUID) -> int:
        """Count a collection's templates of the recognizer in use, from the gallery's counter."""
        counted = (
            select(_SEARCHED_TEMPLATES)
            .select_from(GalleryModel)
            .join(CollectionModel, CollectionModel.id == GalleryModel.collection_id)
            .where(self._of_tenant(GalleryModel), self._of_tenant(CollectionModel), CollectionModel.id == collection_id)
        )
        return int(await self._session.scalar(counted) or 0)

    async def lock_row(self, name: str) -> CollectionRecord | None:
        """Lock a collection against any change, including new faces, until the transaction ends; return it."""
        statement = self._select(CollectionModel, CollectionModel.name == name, self._visible()).with_for_update()
        return _record(await self._session.scalar(statement))

    async def bind_recognizer(self, collection_id: UUID, recognizer: str) -> str:
        """Set the collection's recognizer unless it has one; return the recognizer in use."""
        bound = self._update(CollectionModel, CollectionModel.id == collection_id).values(
            recognizer=func.coalesce(CollectionModel.recognizer, recognizer)
        )
        return await self._session.scalar(bound.returning(CollectionModel.recognizer)) or recognizer

    async def set_recognizers(self, collection_id: UUID, recognizers: Recognizers) -> None:
        values = {"recognizer": recognizers.in_use, "secondary_recognizer": recognizers.secondary}
        await self._session.execute(self._update(CollectionModel, CollectionModel.id == collection_id).values(values))

    async def set_decisions(self, collection_id: UUID, values: Mapping[str, Any]) -> None:
        """Set `max_false_match_rate`, `review_false_match_rate` or `calibration`; None means the default."""
        statement = self._update(CollectionModel, CollectionModel.id == collection_id)
        await self._session.execute(statement.values(**values))

    async def set_tags(self, collection_id: UUID, tags: Mapping[str, str]) -> None:
        """Replace the collection's tags."""
        statement = self._update(CollectionModel, CollectionModel.id == collection_id)
        await self._session.execute(statement.values(tags=dict(tags)))

    async def delete(self, name: str) -> bool:
        """Erase a collection with its subjects and templates; return False if it does not exist."""
        row = await self.lock_row(name)
        if row is None:
            return False
        elsewhere = self._select(SubjectModel, SubjectModel.collection_id == row.id, SubjectModel.erased_with != [])
        moved = await self._session.scalars(elsewhere.with_only_columns(SubjectModel.erased_with))
        self._note_erased(ErasedKind.SUBJECT, set[UUID]().union(*moved))
        await self._session.execute(self._delete(CollectionModel, CollectionModel.id == row.id))
        self._note_erased(ErasedKind.COLLECTION, [row.id])
        return True

    def _counted(self) -> Select[Any]:
        subjects, templates = (
            select(counted)
            .where(self._of_tenant(model), model.collection_id == CollectionModel.id)
            .correlate(CollectionModel)
            .scalar_subquery()
            for model, counted in (
                (SubjectModel, func.count()),
                (GalleryModel, _SEARCHED_TEMPLATES),
            )
        )
        return select(
            CollectionModel.id,
            CollectionModel.name,
            CollectionModel.created_at,
            subjects,
            templates,
            CollectionModel.max_false_match_rate,
            CollectionModel.review_false_match_rate,
            CollectionModel.calibration,
            CollectionModel.recognizer,
            CollectionModel.secondary_recognizer,
        ).where(self._of_tenant(CollectionModel), self._visible())

    def _visible(self) -> ColumnElement[bool]:
        return true() if self._only is None else CollectionModel.name.in_(self._only)


@overload
def _record(row: CollectionModel) -> CollectionRecord: ...
@overload
def _record(row: CollectionModel | None) -> CollectionRecord | None: ...
def _record(row: CollectionModel | None) -> CollectionRecord | None:
    if row is None:
        return None
    return CollectionRecord(
        row.id, row.name, row.created_at, row.tags, row.recognizer, row.secondary_recognizer, row.calibration
    )


def _describe(row: Any) -> Collection:
    collection_id, name, created_at, subjects, templates, max_rate, review_rate, calibration, in_use, secondary = row
    if calibration is not None and calibration["recognizer"] != in_use:
        calibration = None  # measured for a recognizer that is no longer in use
    policy = read_policy(max_rate, review_rate)
    return Collection(collection_id, name, created_at, subjects, templates, policy, calibration, in_use, secondary)


def read_policy(max_rate: float | None, review_rate: float | None) -> DecisionPolicy:
    """Build a collection's decision policy; None means the default, for review at least the match rate."""
    default = DecisionPolicy()
    match = default.max_false_match_rate if max_rate is None else max_rate
    review = max(match, default.review_false_match_rate) if review_rate is None else review_rate
    return DecisionPolicy(match, review)


def read_calibration(stored: dict[str, Any] | None, recognizer: str) -> Calibration | None:
    """Read a collection's own calibration; None if it has none for this recognizer."""
    if stored is None or stored["recognizer"] != recognizer:
        return None
    points, intervals = (tuple((x, y) for x, y in stored.get(name, ())) for name in ("points", "intervals"))
    return Calibration(points, stored["source"], intervals)
