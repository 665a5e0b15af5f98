"""Photos of an event with several people in each, searched with selfies: which photos each person gets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from app.evaluation.datasets import Event
from app.evaluation.failures import Failure, Picture, worst
from app.evaluation.metrics import Retrieval, retrieval_table
from app.evaluation.systems.photos import digest_of
from app.evaluation.systems.protocol import Gallery, Hit, System

_LIMIT = 1000


@dataclass(slots=True)
class _EventRun:
    """Indexes the photos of an event, searches the selfies, and collects the results."""

    event: Event
    gallery: Gallery
    threshold: float | None
    advance: Callable[[], None]
    photo_by_key: dict[str, Path]
    """The photos by the keys under which they are indexed."""
    faces: int = 0
    selfies_without_a_face: int = 0
    stated_rates: list[float] = field(default_factory=list)
    index_s: list[float] = field(default_factory=list)
    search_s: list[float] = field(default_factory=list)
    retrievals: list[Retrieval] = field(default_factory=list)
    false_positives: list[Failure] = field(default_factory=list)
    false_negatives: list[Failure] = field(default_factory=list)

    def index_photos(self) -> None:
        for key, photo in self.photo_by_key.items():
            enrolled = self.gallery.enroll(key, photo, all_faces=True)
            self.faces += enrolled.faces
            self.index_s.append(enrolled.seconds)
            self.advance()
        self.faces += self.gallery.finish()

    def search_selfies(self) -> None:
        for person, selfie in self.event.selfies:
            searched = self.gallery.search(selfie, _LIMIT)
            self.search_s.append(searched.seconds)
            self.selfies_without_a_face += searched.hits is None
            if searched.stated_rate is not None:
                self.stated_rates.append(searched.stated_rate)
            self._rate(person, selfie, searched.hits or [])
            self.advance()

    def _rate(self, person: str, selfie: Path, hits: list[Hit]) -> None:
        """Compare the returned photos with those that show the person."""
        returned = [hit for hit in hits if self._is_returned(hit)]
        relevant = {photo for photo, people in self.event.photos.items() if person in people}
        self.retrievals.append(Retrieval([self.photo_by_key[hit.key] in relevant for hit in returned], len(relevant)))
        self.false_positives += [
            Failure(
                f"returned without them, {hit.similarity:.3f}",
                (Picture("selfie", selfie), Picture("returned", self.photo_by_key[hit.key], hit.box)),
                hit.similarity,
            )
            for hit in returned
            if self.photo_by_key[hit.key] not in relevant
        ]
        similarity = {self.photo_by_key[hit.key]: hit.similarity for hit in hits}
        self.false_negatives += [
            Failure(
                f"not returned, {similarity[photo]:.3f}" if photo in similarity else "not returned",
                (Picture("selfie", selfie), Picture("shows them", photo)),
                -similarity.get(photo, -1.0),
            )
            for photo in sorted(relevant - {self.photo_by_key[hit.key] for hit in returned})
        ]

    def _is_returned(self, hit: Hit) -> bool:
        return hit.is_match if self.threshold is None else hit.similarity >= self.threshold


def evaluate_event(
    system: System, event: Event, threshold: float | None, advance: Callable[[], None], *, seed: int
) -> tuple[dict[str, Any], list[Failure]]:
    """Return precision, recall, ranks, false positives and times of an event, and the worst failures.

    A photo is returned if the similarity of one of its faces to the selfie is at or above `threshold`; without a
    threshold, if the system itself decides on a match.
    """
    photo_by_key = {f"photo-{number}": photo for number, photo in enumerate(event.photos)}
    digest = digest_of([*photo_by_key.items(), *event.selfies])
    with system.gallery(f"of the event, {digest}") as gallery:
        run = _EventRun(event, gallery, threshold, advance, photo_by_key)
        run.index_photos()
        run.search_selfies()
    names, person_of = np.unique([person for person, _ in event.selfies], return_inverse=True)
    table = retrieval_table(run.retrievals, person_of.astype(np.int64), len(names), seed=seed)
    return {
        "photos": len(photo_by_key),
        "faces": run.faces,
        "selfies": len(event.selfies),
        "people": len(names),
        "selfies_without_a_face": run.selfies_without_a_face,
        "threshold": threshold,
        "stated_false_match_rate": max(run.stated_rates, default=None),
        **{name: rate.as_json() for name, rate in table.items()},
        "average_index_ms": 1000 * sum(run.index_s) / len(run.index_s),
        "average_search_ms": 1000 * sum(run.search_s) / len(run.search_s),
    }, [*worst(run.false_positives), *worst(run.false_negatives)]
