"""Photos of an event with several people in each, searched with selfies: who gets which photos."""

from collections.abc import Callable
from typing import Any

import numpy as np

from app.evaluation.datasets import Event
from app.evaluation.failures import Failure, Picture, worst
from app.evaluation.metrics import Retrieval, retrieval_table
from app.evaluation.systems.photos import digest_of
from app.evaluation.systems.protocol import System

_LIMIT = 1000


def evaluate_event(
    system: System, event: Event, threshold: float | None, advance: Callable[[], None], *, seed: int
) -> tuple[dict[str, Any], list[Failure]]:
    """The table of an event, and what went most wrong: precision, recall, ranks, false positives, times.

    A photo is returned where one of its faces is as similar to the selfie as `threshold` or more; without one, where
    the system itself calls it a match.
    """
    keys = {f"photo-{number}": photo for number, photo in enumerate(event.photos)}
    indexing, faces = [], 0
    searching, found, without_face = [], [], 0
    wrongly, missed = list[Failure](), list[Failure]()
    made_of = digest_of([*keys.items(), *event.selfies])
    with system.gallery(f"of the event, {made_of}") as gallery:
        for key, photo in keys.items():
            enrolled = gallery.enroll(key, photo, everybody=True)
            faces += enrolled.faces
            indexing.append(enrolled.seconds)
            advance()
        for person, selfie in event.selfies:
            searched = gallery.search(selfie, _LIMIT)
            searching.append(searched.seconds)
            without_face += searched.hits is None
            hits = searched.hits or []
            returned = [hit for hit in hits if (hit.is_match if threshold is None else hit.similarity >= threshold)]
            relevant = {photo for photo, people in event.photos.items() if person in people}
            found.append(Retrieval([keys[hit.key] in relevant for hit in returned], len(relevant)))
            wrongly += [
                Failure(
                    f"returned without them, {hit.similarity:.3f}",
                    (Picture("selfie", selfie), Picture("returned", keys[hit.key], hit.box)),
                    hit.similarity,
                )
                for hit in returned
                if keys[hit.key] not in relevant
            ]
            similarity = {keys[hit.key]: hit.similarity for hit in hits}
            missed += [
                Failure(
                    f"not returned, {similarity[photo]:.3f}" if photo in similarity else "not returned",
                    (Picture("selfie", selfie), Picture("shows them", photo)),
                    -similarity.get(photo, -1.0),
                )
                for photo in sorted(relevant - {keys[hit.key] for hit in returned})
            ]
            advance()
    names, person_of = np.unique([person for person, _ in event.selfies], return_inverse=True)
    table = retrieval_table(found, person_of.astype(np.int64), len(names), seed=seed)
    return {
        "photos": len(keys),
        "faces": faces,
        "selfies": len(event.selfies),
        "people": len(names),
        "selfies_without_a_face": without_face,
        "threshold": threshold,
        **{name: rate.as_json() for name, rate in table.items()},
        "average_index_ms": 1000 * sum(indexing) / len(indexing),
        "average_search_ms": 1000 * sum(searching) / len(searching),
    }, [*worst(wrongly), *worst(missed)]
