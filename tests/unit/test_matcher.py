"""Similarity, decision, and the exact search that everything else is checked against."""

from uuid import uuid4

import numpy as np
import pytest

from app.domain import Decision
from app.matcher.search import ExactSearch, Gallery, StoredTemplate
from app.matcher.similarity import clip_similarity, cosine_similarity
from app.matcher.thresholds import decide


def unit(*values: float) -> np.ndarray:
    vector = np.zeros(512, dtype=np.float32)
    vector[: len(values)] = values
    return vector / np.float32(np.linalg.norm(vector))


def test_similarity_is_the_cosine() -> None:
    assert cosine_similarity(unit(1), unit(1)) == pytest.approx(1)
    assert cosine_similarity(unit(1), unit(0, 1)) == 0
    assert cosine_similarity(unit(1), unit(-1)) == pytest.approx(-1)
    assert clip_similarity(1.0000001) == 1.0


def test_a_similarity_at_the_threshold_is_a_match() -> None:
    assert decide(0.45, 0.45) is Decision.MATCH
    assert decide(0.449, 0.45) is Decision.NO_MATCH


async def test_exact_search_ranks_subjects_by_their_best_template() -> None:
    gallery = Gallery(uuid4(), "rec:1")
    other_model, other_collection = Gallery(gallery.collection_id, "rec:2"), Gallery(uuid4(), "rec:1")
    search = ExactSearch(
        [
            StoredTemplate(gallery, "b", "Ben", unit(1, 1)),
            StoredTemplate(gallery, "b", "Ben", unit(0, 1)),
            StoredTemplate(gallery, "a", "Ada", unit(1, 1)),
            StoredTemplate(gallery, "c", "Cleo", unit(-1)),
            StoredTemplate(other_model, "x", None, unit(1)),
            StoredTemplate(other_collection, "y", None, unit(1)),
        ]
    )
    (found,) = await search.search(gallery, [unit(1)], 10)
    assert [candidate.subject for candidate in found] == ["a", "b", "c"]
    assert found[0].similarity == pytest.approx(0.7071, abs=1e-4)
    (one,) = await search.search(gallery, [unit(1)], 1)
    assert [candidate.subject for candidate in one] == ["a"]
