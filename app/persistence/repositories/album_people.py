"""The collections whose people are looked for in an album, and how far each was compared with the album's faces."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, any_, cast, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from app.domain.sightings import LookedFor
from app.persistence.connections.database import Database
from app.persistence.models import AlbumPeopleModel, CollectionModel, GalleryModel
from app.persistence.repositories.base import TenantRepository


@dataclass(frozen=True, slots=True)
class Comparison:
    """A collection's new templates, after `after` up to `through`, that are to be compared with an album's faces."""

    people: LookedFor
    recognizer: str
    after: int
    through: int


class AlbumPeopleRepository(TenantRepository):
    """One tenant's albums and the collections looked for in them."""

    async def replace(self, collection_id: UUID, people_ids: Sequence[UUID]) -> None:
        """Look for these collections in an album, and for no others."""
        of_album = AlbumPeopleModel.collection_id == collection_id
        await self._session.execute(
            self._delete(AlbumPeopleModel, of_album, AlbumPeopleModel.people_id.not_in(people_ids))
        )
        rows = [self._row(collection_id=collection_id, people_id=people_id) for people_id in people_ids]
        if rows:
            await self._session.execute(insert(AlbumPeopleModel).values(rows).on_conflict_do_nothing())

    async def list_by_album(self, collection_id: UUID) -> list[LookedFor]:
        """List the collections looked for in an album, by name."""
        of_people = (CollectionModel.id == AlbumPeopleModel.people_id) & self._of_tenant(CollectionModel)
        columns: tuple[Any, ...] = (CollectionModel.id, CollectionModel.name, CollectionModel.recognizer)
        joined = self._select(AlbumPeopleModel, AlbumPeopleModel.collection_id == collection_id)
        rows = await self._session.execute(
            joined.join(CollectionModel, of_people).with_only_columns(*columns).order_by(CollectionModel.name)
        )
        return [LookedFor(people_id, name, recognizer) for people_id, name, recognizer in rows]

    async def list_names(self, collection_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
        """List the names of the collections looked for in each album."""
        of_people = (CollectionModel.id == AlbumPeopleModel.people_id) & self._of_tenant(CollectionModel)
        is_listed = AlbumPeopleModel.collection_id.in_(collection_ids)
        columns: tuple[Any, ...] = (AlbumPeopleModel.collection_id, CollectionModel.name)
        statement = self._select(AlbumPeopleModel, is_listed).join(CollectionModel, of_people)
        names: dict[UUID, list[str]] = {collection_id: [] for collection_id in collection_ids}
        for album, name in await self._session.execute(
            statement.with_only_columns(*columns).order_by(CollectionModel.name)
        ):
            names[album].append(name)
        return names

    async def lock_begun(self, collection_id: UUID) -> dict[UUID, int]:
        """Return how far each comparison has begun, and keep others from beginning until the transaction ends."""
        statement = self._select(AlbumPeopleModel, AlbumPeopleModel.collection_id == collection_id)
        statement = statement.order_by(AlbumPeopleModel.people_id).with_for_update(read=True)
        return {row.people_id: row.begun_seq for row in await self._session.scalars(statement)}

    async def read_last_seqs(self, people_ids: Sequence[UUID]) -> dict[UUID, int]:
        """Return the number of the newest template of each collection by its recognizer in use."""
        of_collection = (CollectionModel.id == GalleryModel.collection_id) & self._of_tenant(CollectionModel)
        is_asked = GalleryModel.collection_id == any_(cast(list(people_ids), ARRAY(Uuid)))
        statement = (
            select(GalleryModel.collection_id, GalleryModel.last_seq)
            .join(CollectionModel, of_collection)
            .where(self._of_tenant(GalleryModel), is_asked, GalleryModel.recognizer == CollectionModel.recognizer)
        )
        return {row.collection_id: row.last_seq for row in await self._session.execute(statement)}

    async def begin(self, collection_id: UUID, people_id: UUID, lease_s: float) -> Comparison | None:
        """Begin to compare a collection's new templates; None if another worker does, or it is not looked for."""
        is_free = or_(AlbumPeopleModel.leased_until.is_(None), AlbumPeopleModel.leased_until < func.now())
        conditions = (AlbumPeopleModel.collection_id == collection_id, AlbumPeopleModel.people_id == people_id)
        row = await self._session.scalar(
            self._select(AlbumPeopleModel, *conditions, is_free).with_for_update(skip_locked=True)
        )
        people = [one for one in await self.list_by_album(collection_id) if one.collection_id == people_id]
        if row is None or not people:
            return None
        recognizer = people[0].recognizer
        through = (await self.read_last_seqs([people_id])).get(people_id, 0)
        after = row.done_seq if row.recognizer == recognizer else 0
        row.recognizer, row.begun_seq = recognizer, through
        row.done_seq = after
        row.leased_until = func.now() + timedelta(seconds=lease_s)
        await self._session.flush()
        return Comparison(people[0], recognizer or "", after, through)

    async def restart(self, collection_id: UUID) -> None:
        """Compare an album with everybody again, since its own faces have changed; a running comparison is void."""
        values = {"begun_seq": 0, "done_seq": 0, "leased_until": None}
        statement = self._update(AlbumPeopleModel, AlbumPeopleModel.collection_id == collection_id)
        await self._session.execute(statement.values(**values))

    async def end(self, collection_id: UUID, comparison: Comparison) -> None:
        """Note that the templates have been compared, unless the comparison is void."""
        conditions = (
            AlbumPeopleModel.collection_id == collection_id,
            AlbumPeopleModel.people_id == comparison.people.collection_id,
            AlbumPeopleModel.begun_seq == comparison.through,
        )
        values = {"done_seq": comparison.through, "leased_until": None}
        await self._session.execute(self._update(AlbumPeopleModel, *conditions).values(**values))


async def find_stale_people(database: Database) -> list[tuple[UUID, UUID, UUID]]:
    """Find the tenants, albums and collections whose new templates were not compared with the album's faces."""
    rows = await database.fetch_rows("SELECT tenant, album, people FROM vultus_stale_people()")
    return [(row["tenant"], row["album"], row["people"]) for row in rows]
