"""Which faces belong to a subject, of those that are to be given to it."""

import numpy as np

from app.domain.faces import Embedding
from app.matcher.subject_similarity import measure_consistency
from tests.integration.conftest import near, random_embeddings

LEAST = 0.3


def joined(existing: list[Embedding], given: list[Embedding]) -> list[bool]:
    return [similarity >= LEAST for similarity in measure_consistency(existing, given, LEAST)]


def person(rng: np.random.Generator, photos: int) -> list[Embedding]:
    (center,) = random_embeddings(rng, 1)
    return [near(center, rng, 0.75) for _ in range(photos)]


def test_one_face_of_a_new_subject_is_theirs() -> None:
    assert joined([], person(np.random.default_rng(1), 1)) == [True]


def test_a_stranger_is_found_out_wherever_it_stands() -> None:
    rng = np.random.default_rng(2)
    for place in range(5):
        given = person(rng, 4)
        given.insert(place, random_embeddings(rng, 1)[0])
        assert joined([], given) == [index != place for index in range(5)]


def test_of_two_that_disagree_the_first_is_believed() -> None:
    rng = np.random.default_rng(3)
    assert joined([], random_embeddings(rng, 2)) == [True, False]


def test_the_majority_stands_for_the_subject() -> None:
    rng = np.random.default_rng(4)
    assert joined([], [*person(rng, 2), *person(rng, 4)]) == [False, False, True, True, True, True]


def test_those_who_are_there_decide_and_one_of_them_spoils_nothing() -> None:
    rng = np.random.default_rng(5)
    ada, bob = person(rng, 5), person(rng, 2)
    assert joined(ada[:3], [ada[3], bob[0], ada[4]]) == [True, False, True]
    assert joined([*ada[:3], bob[0]], [ada[3], bob[1]]) == [True, False]
