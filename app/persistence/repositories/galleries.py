"""Galleries: where new templates take their places."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy.dialects.postgresql import insert

from app.persistence.models import GalleryModel
from app.persistence.repositories.base import TenantRepository


@dataclass(frozen=True, slots=True)
class Places:
    """`count` places in a gallery from `first` on, this transaction's own."""

    gallery_id: UUID
    first: int
    count: int

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.first + self.count))


class GalleryRepository(TenantRepository):
    """The galleries of one tenant."""

    async def take_places(self, collection_id: UUID, recognizer: str, count: int) -> Places:
        """The next places for `count` templates, which this transaction must store or roll back.

        The gallery stays locked until the transaction ends: places become visible in their order, which lets a search
        hold what is stored up to one place and read only what came after it.
        """
        values = self._row(
            id=uuid4(), collection_id=collection_id, recognizer=recognizer, templates=count, last_seq=count
        )
        statement = (
            insert(GalleryModel)
            .values(values)
            .on_conflict_do_update(
                index_elements=["tenant_id", "collection_id", "recognizer"],
                set_={
                    "templates": GalleryModel.templates + count,
                    "last_seq": GalleryModel.last_seq + count,
                },
            )
            .returning(GalleryModel.id, GalleryModel.last_seq)
        )
        gallery_id, last = (await self._session.execute(statement)).one()
        return Places(gallery_id, last - count + 1, count)
