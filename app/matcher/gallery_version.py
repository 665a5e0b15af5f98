"""The version of a gallery, and the one statement that confirms it and reads subject names and decision settings."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.decisions import GalleryScale
from app.domain.faces import RelativeBox
from app.domain.people import FaceOrigin, MatchedFace
from app.persistence.connections.statements import StatementPool
from app.persistence.repositories.collections import read_calibration, read_policy
from app.security.template_protection import Protection


class GalleryVersion(NamedTuple):
    """A gallery at one moment; while `last_seq`, `deletions` and `epoch` are the same, nothing in it has changed.

    - `collection`: the collection's name, which the statement that names subjects compares as well.
    - `last_seq`: the sequence number of the newest template.
    - `deletions`: the number of templates deleted so far.
    - `epoch`: changes whenever a stored embedding changes, for example with a new template protection.
    """

    id: UUID
    collection_id: UUID
    collection: str
    recognizer: str
    templates: int
    last_seq: int
    deletions: int
    epoch: int
    protection: Protection

    def has_only_additions_since(self, deletions: int, epoch: int) -> bool:
        """Return whether templates were only added since the version with these counters."""
        return (self.deletions, self.epoch) == (deletions, epoch)


class NamedCandidates(NamedTuple):
    """The external id and name of each subject, in the order requested, and the gallery's decision settings.

    `faces` are the requested templates' faces, by sequence number.
    """

    names: list[tuple[str, str | None]]
    faces: dict[int, MatchedFace]
    scale: GalleryScale


async def read_candidates(
    pool: StatementPool, tenant_id: UUID, version: GalleryVersion, subject_ids: Sequence[UUID], seqs: Sequence[int]
) -> NamedCandidates | None:
    """Return the subjects' names and the templates' faces, in one round trip; None if `version` is not the current."""
    row = await pool.fetch_row(
        "SELECT subjects, names, max_rate, review_rate, calibration, seqs, faces, images, external_images, boxes "
        "FROM vultus_name_candidates($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant_id,
        version.id,
        version.collection,
        version.last_seq,
        version.deletions,
        version.epoch,
        subject_ids,
        seqs,
    )
    if row is None or len(row["subjects"]) != len(subject_ids):
        return None
    names = list(zip(row["subjects"], row["names"], strict=True))
    faces = {
        seq: MatchedFace(face_id, FaceOrigin(image_id, _read_box(box), external_image_id))
        for seq, face_id, image_id, external_image_id, box in zip(
            row["seqs"], row["faces"], row["images"], row["external_images"], row["boxes"], strict=True
        )
    }
    return NamedCandidates(names, faces, read_scale(row, version.templates, version.recognizer))


def _read_box(stored: str | None) -> RelativeBox | None:
    """Parse a box in PostgreSQL's text form, `{left,top,width,height}`: an array of arrays could not hold nulls."""
    return RelativeBox(*map(float, stored.strip("{}").split(","))) if stored is not None else None


def read_scale(row: Any, templates: int, recognizer: str) -> GalleryScale:
    """Build the scale of a search of `templates` templates from a row with the collection's decision settings."""
    policy = read_policy(row["max_rate"], row["review_rate"])
    calibration = json.loads(row["calibration"]) if row["calibration"] is not None else None
    return GalleryScale(templates, policy, read_calibration(calibration, recognizer))


def read_protection(row: Any) -> Protection:
    """Build the gallery's template protection from a row with its generation, salt and key id."""
    return Protection(row["generation"], row["salt"] or b"", row["key_id"] or "")
