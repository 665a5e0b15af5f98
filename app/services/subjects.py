"""Subjects and their faces: create, list, read, erase."""

from typing import Any
from uuid import UUID

from app.domain import Subject, Template
from app.errors import CollectionNotFound, FaceNotFound, InvalidCursor, SubjectExists, SubjectNotFound
from app.persistence.repositories.answers import AnswerRepository
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import TemplateRepository
from app.security.cursors import CursorSigner
from app.services.paging import Page, PageRequest, cut_page


class SubjectService:
    """The subjects of the caller's tenant."""

    def __init__(
        self,
        collections: CollectionRepository,
        subjects: SubjectRepository,
        templates: TemplateRepository,
        answers: AnswerRepository,
        cursors: CursorSigner,
    ) -> None:
        self._collections = collections
        self._subjects = subjects
        self._templates = templates
        self._answers = answers
        self._cursors = cursors

    async def create(self, collection: str, subject: str, name: str | None, metadata: dict[str, Any]) -> Subject:
        """Create a subject without faces; raises `CollectionNotFound` or `SubjectExists`."""
        collection_id = await self._collection_id(collection, hold=True)
        if await self._subjects.add(collection_id, subject, name, metadata) is None:
            raise SubjectExists(f"Collection {collection!r} has a subject {subject!r} already.")
        return await self._found(collection_id, collection, subject)

    async def list(self, collection: str, request: PageRequest) -> Page[Subject]:
        """One page of a collection's subjects, by the caller's id."""
        collection_id = await self._collection_id(collection)
        scope = f"{self._subjects.tenant_id}/collections/{collection_id}/subjects"
        after = self._cursors.open(scope, request.cursor) if request.cursor else None
        found = await self._subjects.list_page(collection_id, after, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, last.subject))

    async def get(self, collection: str, subject: str) -> Subject:
        """One subject; raises `CollectionNotFound` or `SubjectNotFound`."""
        return await self._found(await self._collection_id(collection), collection, subject)

    async def delete(self, collection: str, subject: str) -> None:
        """Erase a subject and their templates in one transaction."""
        collection_id = await self._collection_id(collection)
        if not await self._subjects.delete(collection_id, subject):
            raise SubjectNotFound(_no_subject(collection, subject))
        await self._answers.forget_about(collection, subject)

    async def list_faces(self, collection: str, subject: str, request: PageRequest) -> Page[Template]:
        """One page of a subject's stored faces."""
        subject_id = await self._subject_id(collection, subject)
        scope = f"{self._subjects.tenant_id}/subjects/{subject_id}/faces"
        after = self._cursors.open(scope, request.cursor) if request.cursor else None
        try:
            position = UUID(after) if after else None
        except ValueError as exc:  # pragma: no cover - a signed position is a UUID
            raise InvalidCursor from exc
        found = await self._templates.list_page(subject_id, position, request.limit + 1)
        return cut_page(found, request.limit, lambda last: self._cursors.sign(scope, str(last.id)))

    async def get_face(self, collection: str, subject: str, face_id: UUID) -> Template:
        """One stored face; raises `FaceNotFound`."""
        found = await self._templates.find(await self._subject_id(collection, subject), face_id)
        if found is None:
            raise FaceNotFound(f"Subject {subject!r} has no face {face_id}.")
        return found

    async def delete_face(self, collection: str, subject: str, face_id: UUID) -> None:
        """Erase one stored face; the subject stays."""
        if not await self._templates.delete(await self._subject_id(collection, subject), face_id):
            raise FaceNotFound(f"Subject {subject!r} has no face {face_id}.")
        await self._answers.forget_about(collection, subject)

    async def _collection_id(self, collection: str, *, hold: bool = False) -> UUID:
        row = await self._collections.find_row(collection, hold=hold)
        if row is None:
            raise CollectionNotFound(f"There is no collection {collection!r}.")
        return row.id

    async def _subject_id(self, collection: str, subject: str) -> UUID:
        row = await self._subjects.find_row(await self._collection_id(collection), subject)
        if row is None:
            raise SubjectNotFound(_no_subject(collection, subject))
        return row.id

    async def _found(self, collection_id: UUID, collection: str, subject: str) -> Subject:
        found = await self._subjects.find(collection_id, subject)
        if found is None:
            raise SubjectNotFound(_no_subject(collection, subject))
        return found


def _no_subject(collection: str, subject: str) -> str:
    return f"Collection {collection!r} has no subject {subject!r}."
