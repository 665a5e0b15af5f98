"""Describe the events of sightings: faces of photos and videos that were matched, or wait for a review."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from app.domain.events import Event, EventType
from app.domain.sightings import LookedFor, Sighting, SightingState, Suggestion
from app.persistence.repositories.sightings import SightingChange

_TYPES = {
    SightingState.MATCHED: EventType.SIGHTING_MATCHED,
    SightingState.REVIEW: EventType.SIGHTING_REVIEW,
}


def announce_sightings(
    album: str,
    people: Iterable[LookedFor],
    changes: Iterable[SightingChange],
    suggestions: Mapping[UUID, Suggestion],
    photo_ids: Mapping[UUID, UUID],
) -> list[Event]:
    """Return the events of an album's changed sightings; `photo_ids` maps face ids to photos or appearances."""
    names = {one.collection_id: one.name for one in people}
    events = []
    for change in changes:
        kind, one = _TYPES.get(change.state), suggestions.get(change.face_id)
        if kind is not None and one is not None and one.collection_id in names:
            ids = {"album": album, "face_id": str(change.face_id), "photo_id": str(photo_ids[change.face_id])}
            events.append(Event(kind, names[one.collection_id], one.subject, ids))
    return events


def announce_matched(sightings: Iterable[Sighting]) -> list[Event]:
    """Return the events of those sightings that a person has matched."""
    return [
        Event(
            EventType.SIGHTING_MATCHED,
            one.subject.collection,
            one.subject.subject,
            {"album": one.album, "face_id": str(one.face_id), "photo_id": str(one.photo_id)},
        )
        for one in sightings
        if one.state is SightingState.MATCHED and one.subject is not None
    ]
