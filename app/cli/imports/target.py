"""The server that receives people and photos, over its public API."""

from typing import Any
from urllib.parse import quote

from app.cli.album_client import AlbumClient, Refused
from app.cli.imports.people import Person, Photo
from app.services.photos.face_reader import FaceChoice

_EXISTS = ("collection_exists", "subject_exists")
_OF_THE_CALLER = ("not_authenticated", "token_invalid", "token_expired", "token_revoked", "permission_denied")
_OF_ALL = ("quota_exceeded", "collection_not_found")


class Target:
    """Stores people and photos in one collection. Raises `Refused`, or `OperatorError` if the server is lost."""

    def __init__(self, client: AlbumClient, collection: str, face: FaceChoice = FaceChoice.ONLY) -> None:
        self._client = client
        self._collection = collection
        self._face = face

    def end(self) -> None:
        """Let waiting requests give up at once."""
        self._client.end()

    def ensure_collection(self) -> None:
        """Create the collection unless it exists."""
        self._create("/collections", {"name": self._collection})

    def add_person(self, person: Person) -> None:
        """Create a subject without faces, unless it exists."""
        body = {"subject": person.subject, "name": person.name, "consent": person.consent}
        path = f"/collections/{quote(self._collection, safe='')}/subjects"
        self._create(path, {name: value for name, value in body.items() if value is not None})

    def add_photo(self, photo: Photo, content: bytes) -> bool:
        """Store the face of a photo; return False if the person had it already."""
        fields = {
            "collection": self._collection,
            "subject": photo.person.subject,
            "face": self._face.value,
            "name": photo.person.name,
            "consent": photo.person.consent,
            "external_image_id": photo.external_image_id,
        }
        answer = self._client.send(
            "POST",
            "/register",
            data={name: value for name, value in fields.items() if value is not None},
            files={"images": ("photo", content, "application/octet-stream")},
        )
        return not all(template.get("was_stored") for template in answer.get("templates", ()))

    def import_document(self, document: dict[str, Any]) -> bool:
        """Store an exported subject; return False if the collection has it already."""
        try:
            self._client.send("POST", "/subjects/import", json={**document, "collection": self._collection})
        except Refused as exc:
            if exc.code not in _EXISTS:
                raise
            return False
        return True

    def _create(self, path: str, body: dict[str, Any]) -> None:
        try:
            self._client.send("POST", path, json=body)
        except Refused as exc:
            if exc.code not in _EXISTS:
                raise


def ends_import(refused: Refused) -> bool:
    """Return whether a refusal is about the key, the quota or the collection, so that all others would follow."""
    return refused.code in (*_OF_THE_CALLER, *_OF_ALL) or refused.status >= 500
