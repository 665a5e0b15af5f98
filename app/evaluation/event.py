"""Photos of an event with several people in each, searched with selfies: who gets which photos."""

import time
from collections.abc import Callable
from typing import Any

from app.evaluation.datasets import Event
from app.evaluation.metrics import Retrieval, retrieval_table
from app.evaluation.systems import System

_LIMIT = 1000


def evaluate_event(
    system: System, event: Event, threshold: float | None, advance: Callable[[], None]
) -> dict[str, Any]:
    """The table of an event: precision, recall, ranks, false positives, and how long indexing and searching took.

    A photo is returned where one of its faces is as similar to the selfie as `threshold` or more; without one, where
    the system itself calls it a match.
    """
    keys = {f"photo-{number}": photo for number, photo in enumerate(event.photos)}
    indexing, faces = [], 0
    for key, photo in keys.items():
        began = time.perf_counter()
        faces += system.enroll(key, photo, everybody=True)
        indexing.append(time.perf_counter() - began)
        advance()
    searching, found, without_face = [], [], 0
    for person, selfie in event.selfies:
        began = time.perf_counter()
        hits = system.search(selfie, _LIMIT)
        searching.append(time.perf_counter() - began)
        without_face += hits is None
        returned = [hit for hit in hits or [] if (hit.is_match if threshold is None else hit.similarity >= threshold)]
        relevant = sum(person in people for people in event.photos.values())
        found.append(Retrieval([person in event.photos[keys[hit.key]] for hit in returned], relevant))
        advance()
    return {
        "photos": len(keys),
        "faces": faces,
        "selfies": len(event.selfies),
        "selfies_without_a_face": without_face,
        "threshold": threshold,
        **retrieval_table(found),
        "average_index_ms": 1000 * sum(indexing) / len(indexing),
        "average_search_ms": 1000 * sum(searching) / len(searching),
    }
