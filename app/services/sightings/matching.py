"""Look for known people among faces: the best of all collections, never one that a person rejected."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from app.domain.decisions import Candidate, Decision
from app.domain.faces import Embedding
from app.domain.people import ANONYMOUS_PREFIX
from app.domain.sightings import LookedFor, Suggestion
from app.errors import RecognizerChanged
from app.matcher.engine import SearchEngine
from app.matcher.search import Gallery
from app.matcher.tenant_search import TenantSearch
from app.matcher.thresholds import DecidedCandidate, Thresholds, decide_all
from app.services.collections.decisions import DecisionMaker

_CANDIDATES = 5
"""How many candidates of a face are looked at; more where some are rejected or anonymous."""

Rejected = Mapping[UUID, set[tuple[UUID, str]]]
"""By face, the subjects that it does not show: their collection's id and their own id."""
Taken = Collection[tuple[UUID, UUID, str]]
"""Subjects that another face of a photo is matched with: the photo's id, the collection's id and the subject's."""


@dataclass(frozen=True, slots=True)
class ProbeFace:
    """A face to look for, with its embeddings by recognizer."""

    id: UUID
    photo_id: UUID
    embeddings: Mapping[str, Embedding] = field(repr=False)
    is_reliable: bool


class PeopleMatcher:
    """Finds whom faces show; one per process."""

    def __init__(self, engine: SearchEngine, decisions: DecisionMaker) -> None:
        self._engine = engine
        self._decisions = decisions

    async def match(
        self,
        tenant_id: UUID,
        people: Sequence[LookedFor],
        faces: Sequence[ProbeFace],
        rejected: Rejected,
        taken: Taken = (),
    ) -> dict[UUID, Suggestion]:
        """Return the suggestion for each face that matches or may match somebody.

        A match comes before a review, then the higher similarity counts. Nobody is matched twice in one photo: the less
        similar face is a review, and so is every face if the subject is `taken`. Collections of a recognizer that did
        not embed the faces are left out.
        """
        best: dict[UUID, Suggestion] = {}
        for collection in people:
            for face_id, suggestion in (await self._match_in(tenant_id, collection, faces, rejected)).items():
                if face_id not in best or _weigh(suggestion) > _weigh(best[face_id]):
                    best[face_id] = suggestion
        return _keep_one_per_photo(best, {face.id: face.photo_id for face in faces}, taken)

    async def _match_in(
        self, tenant_id: UUID, people: LookedFor, faces: Sequence[ProbeFace], rejected: Rejected
    ) -> dict[UUID, Suggestion]:
        recognizer = people.recognizer
        probes = [face for face in faces if recognizer is not None and recognizer in face.embeddings]
        if recognizer is None or not probes:
            return {}
        search = TenantSearch(self._engine, tenant_id)
        limit = _CANDIDATES + max(len(rejected.get(face.id, ())) for face in probes)
        gallery = Gallery(people.collection_id, recognizer)
        try:
            found = await search.identify(gallery, [face.embeddings[recognizer] for face in probes], limit)
            decide = _Decider(people, self._decisions.thresholds(recognizer, found.scale, None), rejected)
            decided = {face.id: decide(face, one) for face, one in zip(probes, found.ranked, strict=True)}
            crowded = [face for face in probes if decided[face.id].is_crowded(limit)]
            if crowded:  # by anonymous subjects
                named = await search.identify_named(gallery, [face.embeddings[recognizer] for face in crowded], limit)
                decided |= {face.id: decide(face, one) for face, one in zip(crowded, named.ranked, strict=True)}
        except RecognizerChanged:
            return {}
        return {face_id: one.suggestion for face_id, one in decided.items() if one.suggestion is not None}


@dataclass(frozen=True, slots=True)
class _Decided:
    """The suggestion for a face, and how many candidates are a match or need a review."""

    suggestion: Suggestion | None
    similar: int

    def is_crowded(self, limit: int) -> bool:
        """Whether all candidates are similar and none may be suggested, so that others may come after them."""
        return self.suggestion is None and self.similar == limit


@dataclass(frozen=True, slots=True)
class _Decider:
    """Chooses among the candidates of a face the best one that it may show."""

    people: LookedFor
    thresholds: Thresholds
    rejected: Rejected

    def __call__(self, face: ProbeFace, candidates: Sequence[Candidate]) -> _Decided:
        decided = decide_all(candidates, self.thresholds, is_probe_reliable=face.is_reliable)
        similar = [one for one in decided if one.decision is not Decision.NO_MATCH]
        refused = self.rejected.get(face.id, set())
        chosen = next((one for one in similar if self._may_be(one.candidate.subject, refused)), None)
        return _Decided(None if chosen is None else _suggest(chosen, self.people), len(similar))

    def _may_be(self, subject: str, refused: set[tuple[UUID, str]]) -> bool:
        return not subject.startswith(ANONYMOUS_PREFIX) and (self.people.collection_id, subject) not in refused


def _suggest(decided: DecidedCandidate, people: LookedFor) -> Suggestion:
    candidate = decided.candidate
    return Suggestion(
        people.collection_id,
        candidate.subject,
        candidate.face.id if candidate.face is not None else None,
        candidate.similarity,
        decided.false_match_rate,
        decided.decision is Decision.MATCH,
    )


def _weigh(suggestion: Suggestion) -> tuple[bool, float]:
    return suggestion.is_match, suggestion.similarity


def _keep_one_per_photo(
    best: Mapping[UUID, Suggestion], photos: Mapping[UUID, UUID], taken: Taken
) -> dict[UUID, Suggestion]:
    seen = set(taken)
    kept = {}
    for face_id in sorted(best, key=lambda face_id: (_weigh(best[face_id]), face_id), reverse=True):
        suggestion = best[face_id]
        person = (photos[face_id], suggestion.collection_id, suggestion.subject)
        kept[face_id] = replace(suggestion, is_match=suggestion.is_match and person not in seen)
        seen.add(person)
    return kept
