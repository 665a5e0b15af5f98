"""Collections."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from app.domain import Collection
from app.schemas.fields import CollectionName


class CollectionIn(BaseModel):
    """A collection to create."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "visitors"}})

    name: CollectionName


class CollectionOut(BaseModel):
    """A named gallery, with what it holds."""

    name: str
    subjects: int
    templates: int
    created_at: datetime

    @classmethod
    def of(cls, collection: Collection) -> "CollectionOut":
        """From the domain's value."""
        return cls(
            name=collection.name, subjects=collection.subjects, templates=collection.templates,
            created_at=collection.created_at,
        )  # fmt: skip


class CollectionPage(BaseModel):
    """One page of collections."""

    items: list[CollectionOut]
    next_cursor: str | None
