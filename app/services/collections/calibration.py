"""Calibrate a collection on its own stored faces: measure how similar different subjects are."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from app.domain.collections import Collection
from app.errors import CollectionNotFound, InvalidParameter
from app.matcher.impostors import MIN_PEOPLE, ImpostorRates, measure_impostors
from app.persistence.repositories.collection_faces import CollectionFaceRepository
from app.persistence.repositories.collections import CollectionRepository
from app.services.audit.actions import AuditAction
from app.services.audit.trail import AuditTrail
from app.services.collections.collections import CollectionService, require_found
from app.services.collections.recognizer_directory import RecognizerDirectory

MAX_FACES = 4_000
"""The number of faces compared with one another: eight million pairs, a few seconds on one core."""
_MIN_POINTS = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """Faces of different subjects of a collection, as halfvec text, and the recognizer that embedded them."""

    collection_id: UUID
    recognizer: str
    faces: Sequence[str] = field(repr=False)


class CalibrationService:
    """Measure and reset calibrations; template protection rotates embeddings, which preserves their cosines."""

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

    async def sample(self, collection: str) -> Sample:
        """Sample one face of each of up to `MAX_FACES` named subjects; raises `CollectionNotFound`."""
        collection_id = require_found(await self._collections.find_row(collection), collection).id
        recognizer = self._directory.in_use((await self._service.get(collection)).recognizer)
        faces = await self._faces.sample_embeddings(collection_id, recognizer, MAX_FACES)
        return Sample(collection_id, recognizer, faces)

    async def apply(self, collection: str, sample: Sample, measured: ImpostorRates) -> Collection:
        """Calibrate the collection with what was measured on its sample.

        The calibration applies to the sample's recognizer; another one has its own. Raises `CollectionNotFound`, or
        `InvalidParameter` if there are too few subjects or too many duplicates.
        """
        collection_id = require_found(await self._collections.find_row(collection, lock=True), collection).id
        if collection_id != sample.collection_id:  # erased and created again meanwhile
            raise CollectionNotFound(f"There is no collection {collection!r} anymore.")
        _require_enough(collection, sample, measured)
        source = f"this collection's {len(sample.faces)} subjects, {datetime.now(UTC):%Y-%m-%d}"
        stored = {
            "recognizer": sample.recognizer,
            "source": source,
            "points": [list(point) for point in measured.points],
            "intervals": [list(interval) for interval in measured.intervals],
        }
        await self._collections.set_decisions(collection_id, {"calibration": stored})
        await self._trail.record(
            AuditAction.COLLECTION_CALIBRATED,
            f"collection:{collection}",
            faces=len(sample.faces),
            points=len(measured.points),
        )
        return await self._service.get(collection)

    async def forget(self, collection: str) -> Collection:
        """Return to the recognizer's own calibration; raises `CollectionNotFound`."""
        collection_id = require_found(await self._collections.find_row(collection, lock=True), collection).id
        await self._collections.set_decisions(collection_id, {"calibration": None})
        await self._trail.record(AuditAction.COLLECTION_CALIBRATED, f"collection:{collection}", faces=0, points=0)
        return await self._service.get(collection)


class Calibrator:
    """Calibrates collections; nothing is locked and no connection is held while faces are compared, for seconds."""

    def __init__(self, opener: Callable[[], AbstractAsyncContextManager[CalibrationService]]) -> None:
        self._open = opener

    async def calibrate(self, collection: str) -> Collection:
        """Compare stored faces of different subjects, and calibrate the collection with the result.

        A person with two subject ids counts as an impostor pair. Raises as `CalibrationService.apply`.
        """
        async with self._open() as service:
            sample = await service.sample(collection)
        measured = await asyncio.to_thread(_measure, sample.faces)
        async with self._open() as service:
            return await service.apply(collection, sample, measured)


def _require_enough(collection: str, sample: Sample, measured: ImpostorRates) -> None:
    if len(measured.points) >= _MIN_POINTS:
        return
    reason = (
        f"{collection!r} has faces of {len(sample.faces)} subjects; at least {MIN_PEOPLE} are needed"
        if len(sample.faces) < MIN_PEOPLE
        else f"more than 1 in 100 pairs of subjects of {collection!r} have the same face; delete subjects "
        f"that duplicate another one"
    )
    raise InvalidParameter(f"collection: {reason}.", field="collection")


def _measure(faces: Sequence[str]) -> ImpostorRates:
    embeddings = [np.array(face[1:-1].split(","), dtype=np.float32) for face in faces]
    return measure_impostors(embeddings, np.arange(len(faces)))
