"""A collection's own calibration: how similar its strangers are, from its stored faces."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from app.domain.collections import Collection
from app.errors import InvalidParameter
from app.matcher.strangers import MIN_PEOPLE, MeasuredStrangers, measure_strangers
from app.persistence.repositories.collection_faces import CollectionFaceRepository
from app.persistence.repositories.collections import CollectionRepository
from app.services.audit.trail import AuditAction, AuditTrail
from app.services.collections.collections import CollectionService, require_found
from app.services.collections.recognizer_directory import RecognizerDirectory

MAX_FACES = 4_000
"""Compared with one another: eight million pairs, some seconds on one core."""


class CalibrationService:
    """Measures on what is stored: stored embeddings keep their cosines under the rotation that protects them."""

    def __init__(
        self,
        collections: CollectionRepository,
        faces: CollectionFaceRepository,
        service: CollectionService,
        trail: AuditTrail,
        directory: RecognizerDirectory,
    ) -> None:
        self._collections = collections
        self._faces = faces
        self._service = service
        self._trail = trail
        self._directory = directory

    async def calibrate(self, collection: str) -> Collection:
        """Compare one face of each of up to `MAX_FACES` known subjects, and go by what was found.

        By the recognizer in use; with another one the collection goes by that one's own calibration again.
        Whoever stands in the collection under two names counts as one pair of strangers among all. Raises
        `CollectionNotFound`, and `InvalidParameter` where there are too few people to tell anything.
        """
        collection_id = require_found(await self._collections.find_row(collection, lock=True), collection).id
        recognizer = self._directory.in_use((await self._service.get(collection)).recognizer)
        faces = await self._faces.sample(collection_id, recognizer, MAX_FACES)
        measured = await asyncio.to_thread(_measure, faces)
        if len(measured.points) < 2:
            why = (
                f"it has faces of {len(faces)} subjects; at least {MIN_PEOPLE} are needed"
                if len(faces) < MIN_PEOPLE
                else "more than 1 in 100 pairs of its subjects have the same face: people stand there under several ids"
            )
            raise InvalidParameter(f"collection: {why}.", field="collection")
        source = f"this collection's {len(faces)} subjects, {datetime.now(UTC):%Y-%m-%d}"
        stored = {
            "recognizer": recognizer,
            "source": source,
            "points": [list(point) for point in measured.points],
            "intervals": [list(interval) for interval in measured.intervals],
        }
        await self._collections.set_decisions(collection_id, {"calibration": stored})
        await self._trail.record(
            AuditAction.COLLECTION_CALIBRATED, f"collection:{collection}", faces=len(faces), points=len(measured.points)
        )
        return await self._service.get(collection)

    async def forget(self, collection: str) -> Collection:
        """Go by the recognizer's calibration again; raises `CollectionNotFound`."""
        collection_id = require_found(await self._collections.find_row(collection, lock=True), collection).id
        await self._collections.set_decisions(collection_id, {"calibration": None})
        await self._trail.record(AuditAction.COLLECTION_CALIBRATED, f"collection:{collection}", faces=0, points=0)
        return await self._service.get(collection)


def _measure(faces: Sequence[str]) -> MeasuredStrangers:
    embeddings = [np.array(face[1:-1].split(","), dtype=np.float32) for face in faces]
    return measure_strangers(embeddings, np.arange(len(faces)))
