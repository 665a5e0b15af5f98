"""Fill an album with any number of pending sightings, straight by COPY, and a collection whose people it looks for.

Faces are synthetic (`face_embeddings.py`), four a photo. Some are mates of people who are registered later: each of
them has `MATES` faces in `MATES` photos, with cosines from 0.25 to 0.85.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding
from app.persistence.connections.database import Database
from app.persistence.connections.snapshots import encode_embedding
from app.persistence.repositories.protections import ProtectionRepository
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateStore
from app.persistence.template_protector import TemplateProtector
from benchmarks.face_embeddings import Embeddings, FaceLike
from benchmarks.galleries import BATCH, RECOGNIZER, add_tenant

FACES_A_PHOTO = 4
KNOWN, NEW, MATES = 1_000, 10, 50
LOW, HIGH = 0.25, 0.85
_QUALITY = '{"score": 80.0}'
_STORE = 500
_BOX = [0.1, 0.1, 0.2, 0.2]


@dataclass(frozen=True)
class Crowd:
    """The people who are registered before and after the photos arrive, and the faces of an album of this size."""

    size: int

    def draw_known(self) -> Embeddings:
        return FaceLike(1).draw(KNOWN)

    def draw_new(self) -> Embeddings:
        return FaceLike(2).draw(NEW)

    def draw_faces(self) -> Iterator[tuple[range, Embeddings]]:
        """Draw the faces in batches, each with its rows; the same at every call."""
        source, rows = FaceLike(3), self.mate_rows().ravel()
        mates = FaceLike(4).mates(np.repeat(self.draw_new(), MATES, axis=0), LOW, HIGH)[0]
        for start in range(0, self.size, BATCH):
            batch = range(start, min(start + BATCH, self.size))
            faces = source.draw(len(batch))
            is_here = (rows >= batch.start) & (rows < batch.stop)
            faces[rows[is_here] - start] = mates[is_here]
            yield batch, faces

    def mate_rows(self) -> NDArray[np.int64]:
        """Return the rows of the faces of each new person, shape (NEW, MATES), no two in one photo."""
        photos = np.random.default_rng(5).permutation(self.size // FACES_A_PHOTO)[: NEW * MATES]
        return np.asarray(photos.reshape(NEW, MATES) * FACES_A_PHOTO)


@dataclass(frozen=True)
class StoredAlbum:
    """A filled album and the collection that it looks for."""

    tenant_id: UUID
    album_id: UUID
    people_id: UUID


def face_id(row: int) -> UUID:
    return UUID(int=(1 << 64) + row)


def _photo_id(row: int) -> UUID:
    return UUID(int=(2 << 64) + row // FACES_A_PHOTO)


async def fill_album(
    connection: Any, database: Database, protector: TemplateProtector, crowd: Crowd, note: Callable[[str], None]
) -> StoredAlbum:
    """Return the album of this crowd, with all sightings pending; fills it unless it exists already."""
    tenant_id = await add_tenant(connection, f"album of {crowd.size}")
    existing = await connection.fetchrow("SELECT * FROM album_people WHERE tenant_id = $1", tenant_id)
    if existing is not None:
        stored = StoredAlbum(tenant_id, existing["collection_id"], existing["people_id"])
        await _reset(connection, stored)
        return stored
    if await connection.fetchval("SELECT count(*) FROM collections WHERE tenant_id = $1", tenant_id):
        raise SystemExit("an earlier run has ended before the album was filled: delete the directory of --data")
    stored = StoredAlbum(tenant_id, uuid4(), uuid4())
    for name, collection_id in (("album", stored.album_id), ("people", stored.people_id)):
        added = "INSERT INTO collections (tenant_id, id, name, recognizer) VALUES ($1, $2, $3, $4)"
        await connection.execute(added, tenant_id, collection_id, name, RECOGNIZER)
    people = {f"known-{number}": one for number, one in enumerate(crowd.draw_known())}
    await register(database, protector, stored, people)
    await _copy_faces(connection, database, protector, stored, crowd, note)
    looked_for = "INSERT INTO album_people (tenant_id, collection_id, people_id) VALUES ($1, $2, $3)"
    await connection.execute(looked_for, tenant_id, stored.album_id, stored.people_id)
    await _say_compared(connection, stored)
    for table in ("subjects", "photos", "templates", "sightings", "galleries", "collections", "album_people"):
        await connection.execute(f"VACUUM ANALYZE {table}")
    await connection.execute("CHECKPOINT")
    return stored


async def register(
    database: Database, protector: TemplateProtector, stored: StoredAlbum, people: dict[str, Embedding]
) -> None:
    """Store each person's template, as a registration does, by subject id."""
    names = list(people)
    for start in range(0, len(names), _STORE):
        async with database.transaction(stored.tenant_id) as session:
            subjects = SubjectRepository(session, stored.tenant_id)
            faces = []
            for name in names[start : start + _STORE]:
                row_id = await subjects.add(stored.people_id, name, None, {})
                assert row_id is not None
                faces.append(NewFace(row_id, {RECOGNIZER: people[name]}, 0.9, {"score": 80.0}))
            templates = TemplateStore(session, stored.tenant_id, protector)
            await templates.add_all(faces, collection_id=stored.people_id, source="bench")


async def _reset(connection: Any, stored: StoredAlbum) -> None:
    """Forget the people of an earlier run, and whom the album's faces showed."""
    new = "DELETE FROM subjects WHERE tenant_id = $1 AND collection_id = $2 AND subject LIKE 'new-%'"
    await connection.execute(new, stored.tenant_id, stored.people_id)
    await connection.execute(
        "UPDATE sightings SET state = 'pending', subject_id = NULL, matched_face_id = NULL, similarity = NULL, "
        "false_match_rate = NULL, is_stale = false WHERE tenant_id = $1 AND (state <> 'pending' OR is_stale)",
        stored.tenant_id,
    )
    await connection.execute("VACUUM ANALYZE sightings")
    await _say_compared(connection, stored)


async def _say_compared(connection: Any, stored: StoredAlbum) -> None:
    """Note that the known people have been compared with the album already."""
    await connection.execute(
        "UPDATE album_people SET recognizer = $2, begun_seq = g.last_seq, done_seq = g.last_seq, leased_until = NULL "
        "FROM galleries g WHERE g.tenant_id = $1 AND album_people.tenant_id = $1 AND g.collection_id = people_id",
        stored.tenant_id,
        RECOGNIZER,
    )


async def _copy_faces(
    connection: Any,
    database: Database,
    protector: TemplateProtector,
    stored: StoredAlbum,
    crowd: Crowd,
    note: Callable[[str], None],
) -> None:
    """Insert photos, anonymous subjects, templates in their protected form, and pending sightings."""
    tenant_id, album_id = stored.tenant_id, stored.album_id
    expires = "INSERT INTO albums (tenant_id, collection_id, expires_at) VALUES ($1, $2, now() + interval '90 days')"
    await connection.execute(expires, tenant_id, album_id)
    async with database.transaction(tenant_id) as session:
        await TemplateStore(session, tenant_id, protector).create_galleries(album_id, [RECOGNIZER])
        protections = ProtectionRepository(session, tenant_id)
        protection = await protections.get_for_gallery(album_id, RECOGNIZER, protector.current_key_id)
    found = "SELECT id FROM galleries WHERE tenant_id = $1 AND collection_id = $2"
    gallery_id = await connection.fetchval(found, tenant_id, album_id)
    for rows, faces in crowd.draw_faces():
        protected = await protector.protect(tenant_id, protection, list(faces))
        for table, columns, records in _describe_rows(stored, gallery_id, rows, protected):
            await connection.copy_records_to_table(table, columns=columns, records=records)
        note(f"{rows.stop:,} of {crowd.size:,} faces")
    counted = "UPDATE galleries SET templates = $3, last_seq = $3 WHERE tenant_id = $1 AND id = $2"
    await connection.execute(counted, tenant_id, gallery_id, crowd.size)


def _describe_rows(
    stored: StoredAlbum, gallery_id: UUID, rows: range, protected: list[Embedding]
) -> list[tuple[str, list[str], list[tuple[Any, ...]]]]:
    """Return the tables in the order of their references, each with its columns and records."""
    tenant_id, album_id = stored.tenant_id, stored.album_id
    owned = ["tenant_id", "id", "collection_id"]
    photos = [(tenant_id, _photo_id(row), album_id, f"photo-{row}", "done", False, FACES_A_PHOTO) for row in rows]
    subjects = [(tenant_id, face_id(row), album_id, f"face@{row}", True) for row in rows]
    described = (RECOGNIZER, gallery_id, 0.9, _QUALITY, "album", _BOX)
    templates = [
        (tenant_id, face_id(row), album_id, face_id(row), row + 1, encode_embedding(one), _photo_id(row), *described)
        for row, one in zip(rows, protected, strict=True)
    ]
    sightings = [(tenant_id, face_id(row), album_id, _photo_id(row)) for row in rows]
    embedded = ["subject_id", "seq", "embedding", "image_id", "recognizer", "gallery_id", "detection_score"]
    return [
        ("photos", [*owned, "external_id", "state", "has_object", "faces"], photos[::FACES_A_PHOTO]),
        ("subjects", [*owned, "subject", "is_anonymous"], subjects),
        ("templates", [*owned, *embedded, "quality", "source", "box"], templates),
        ("sightings", ["tenant_id", "face_id", "collection_id", "photo_id"], sightings),
    ]
