"""A gallery at one moment: whether it is still the same, who its subjects are, and how decisions are made on it."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.decisions import GalleryScale
from app.persistence.connections.statements import StatementPool
from app.persistence.repositories.collections import read_calibration, read_policy
from app.security.template_protection import Protection


class GalleryVersion(NamedTuple):
    """A gallery as it is at one moment; while `last_seq`, `deletions` and `epoch` stay, nothing in it changed."""

    id: UUID
    collection_id: UUID
    collection: str
    recognizer: str
    templates: int
    last_seq: int
    deletions: int
    epoch: int
    protection: Protection

    def goes_on_from(self, deletions: int, epoch: int) -> bool:
        """Whether since a moment with these there were only additions."""
        return (self.deletions, self.epoch) == (deletions, epoch)


class Named(NamedTuple):
    """Id and name of each subject, and how many templates their gallery has and how decisions are made on it."""

    names: list[tuple[str, str | None]]
    scale: GalleryScale


async def name_subjects(
    pool: StatementPool, tenant_id: UUID, version: GalleryVersion, subject_ids: Sequence[UUID]
) -> Named | None:
    """Who these subjects of a gallery are; None if it is not at that version any more. One round trip."""
    row = await pool.fetch_row(
        "SELECT subjects, names, max_rate, review_rate, calibration "
        "FROM vultus_name_subjects($1, $2, $3, $4, $5, $6, $7)",
        tenant_id,
        version.id,
        version.collection,
        version.last_seq,
        version.deletions,
        version.epoch,
        subject_ids,
    )
    if row is None or len(row["subjects"]) != len(subject_ids):
        return None
    names = list(zip(row["subjects"], row["names"], strict=True))
    return Named(names, read_scale(row, version.templates, version.recognizer))


def read_scale(row: Any, templates: int, recognizer: str) -> GalleryScale:
    """How many templates a search of the gallery compares, and what its collection wants, from a row of columns."""
    policy = read_policy(row["max_rate"], row["review_rate"])
    own = json.loads(row["calibration"]) if row["calibration"] is not None else None
    return GalleryScale(templates, policy, read_calibration(own, recognizer))


def read_protection(row: Any) -> Protection:
    """What protects its embeddings, likewise."""
    return Protection(row["generation"], row["salt"] or b"", row["key_id"] or "")
