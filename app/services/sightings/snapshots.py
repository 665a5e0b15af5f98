"""Write down what a sighting was, so that an operation can be undone."""

from typing import Any

from app.persistence.repositories.sightings import SightingRecord


def describe_record(record: SightingRecord) -> dict[str, Any]:
    """Return a sighting's values as JSON."""
    return {
        "face_id": str(record.face_id),
        "state": record.state.value,
        "subject_id": None if record.subject_id is None else str(record.subject_id),
        "matched_face_id": None if record.matched_face_id is None else str(record.matched_face_id),
        "similarity": record.similarity,
        "false_match_rate": record.false_match_rate,
        "decided_by": record.decided_by,
        "decided_at": record.decided_at.isoformat(),
    }
