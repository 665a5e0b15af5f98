"""Subjects, the people of a collection: find, change, merge, move, export and erase them."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from vultus_client._async.transport import AsyncResource
from vultus_client.calls import Call, body, keyed, path
from vultus_client.models import (
    MergedOut,
    MovedOut,
    PersonOut,
    ReceiptOut,
    SearchOut,
    SightingOut,
    StoredFaceOut,
    SubjectDocument,
    SubjectOut,
)


def _at(collection: str, *parts: str) -> str:
    return path("collections", collection, "subjects", *parts)


class AsyncSubjects(AsyncResource):
    """People under your own ids, each in one collection."""

    async def create(
        self,
        subject: str,
        *,
        collection: str = "default",
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        consent: str | None = None,
        expires_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> SubjectOut:
        """Create a subject without faces. Raises `problems.SubjectExists`."""
        sent = body(subject=subject, name=name, metadata=metadata, consent=consent, expires_at=expires_at)
        return await self._send(keyed(Call[SubjectOut]("POST", _at(collection), body=sent), idempotency_key))

    def list(
        self,
        collection: str = "default",
        *,
        q: str | None = None,
        metadata: Mapping[str, str | int | float | bool] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> AsyncIterator[SubjectOut]:
        """Yield subjects by id. `q`: words of the id or name, or their beginnings; `metadata`: values to equal."""
        query: dict[str, Any] = {"q": q, "created_after": created_after, "created_before": created_before}
        query |= {f"metadata.{key}": value for key, value in (metadata or {}).items()}
        return self._pages(Call[SubjectOut]("GET", _at(collection), query=query))

    async def get(self, subject: str, *, collection: str = "default") -> SubjectOut:
        """Return a subject. Raises `problems.SubjectNotFound`."""
        return await self._send(Call[SubjectOut]("GET", _at(collection, subject)))

    async def change(self, subject: str, changes: Mapping[str, Any], *, collection: str = "default") -> SubjectOut:
        """Change `subject` (the id), `name`, `metadata` or `expires_at`; None removes a value."""
        sent = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in changes.items()}
        return await self._send(keyed(Call[SubjectOut]("PATCH", _at(collection, subject), body=sent)))

    async def delete(self, subject: str, *, collection: str = "default") -> ReceiptOut:
        """Erase a subject with all faces; returns a signed receipt."""
        return await self._send(keyed(Call[ReceiptOut]("DELETE", _at(collection, subject))))

    async def record_consent(self, subject: str, reference: str, *, collection: str = "default") -> SubjectOut:
        """Record where the person's consent is kept."""
        call = Call[SubjectOut]("PUT", _at(collection, subject, "consent"), body={"reference": reference})
        return await self._send(keyed(call))

    async def withdraw_consent(self, subject: str, *, collection: str = "default") -> SubjectOut:
        """Withdraw the consent and erase the faces; the subject stays as a record."""
        return await self._send(keyed(Call[SubjectOut]("DELETE", _at(collection, subject, "consent"))))

    def faces(self, subject: str, *, collection: str = "default") -> AsyncIterator[StoredFaceOut]:
        """Yield the stored faces of a subject."""
        return self._pages(Call[StoredFaceOut]("GET", _at(collection, subject, "faces")))

    async def delete_face(self, subject: str, face_id: str, *, collection: str = "default") -> None:
        """Erase one face."""
        await self._send(keyed(Call[None]("DELETE", _at(collection, subject, "faces", face_id))))

    async def merge(self, subject: str, into: str, *, collection: str = "default") -> MergedOut:
        """Move all faces of a subject to another, and delete it."""
        return await self._send(keyed(Call[MergedOut]("POST", _at(collection, subject, "merge"), body={"into": into})))

    async def move(
        self, subject: str, to: str, *, collection: str = "default", new_subject: str | None = None
    ) -> MovedOut:
        """Move a subject with its faces to another collection."""
        sent = body(collection=to, subject=new_subject)
        return await self._send(keyed(Call[MovedOut]("POST", _at(collection, subject, "move"), body=sent)))

    async def similar(
        self, subject: str, *, collection: str = "default", limit: int | None = None, threshold: float | None = None
    ) -> SearchOut:
        """Search the collection for others who look like this subject."""
        query = {"limit": limit, "threshold": threshold}
        return await self._send(Call[SearchOut]("GET", _at(collection, subject, "similar"), query=query))

    def sightings(
        self, subject: str, *, collection: str = "default", state: str | None = None
    ) -> AsyncIterator[SightingOut]:
        """Yield the faces in albums that show this subject."""
        return self._pages(Call[SightingOut]("GET", _at(collection, subject, "sightings"), query={"state": state}))

    def appearances(self, subject: str, *, collection: str = "default") -> AsyncIterator[PersonOut]:
        """Yield the videos in which this subject appears, with the times."""
        return self._pages(Call[PersonOut]("GET", _at(collection, subject, "appearances")))

    async def export(self, subject: str, *, collection: str = "default") -> SubjectDocument:
        """Return everything that is stored about a subject, embeddings included."""
        return await self._send(Call[SubjectDocument]("GET", _at(collection, subject, "export")))

    async def restore(self, document: SubjectDocument) -> SubjectOut:
        """Import an exported subject."""
        return await self._send(keyed(Call[SubjectOut]("POST", "/subjects/import", body=document)))
