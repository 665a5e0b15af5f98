"""Faces followed through frames: people who cross keep their names, and nobody is at two places at once."""

import numpy as np
import pytest

from app.domain.faces import Embedding, RelativeBox
from app.domain.videos import Interval, SeenFace
from app.matcher.tracking.tracklets import TrackletLinker, choose_diverse
from app.matcher.tracking.tracks import Strand, join_intervals, join_strands
from tests.integration.conftest import random_embeddings

R = "rec:1"


def near(embedding: Embedding, rng: np.random.Generator, noise: float = 0.5) -> Embedding:
    other = embedding + noise * random_embeddings(rng, 1)[0]
    unit: Embedding = (other / np.linalg.norm(other)).astype(np.float32)
    return unit


def face(at_ms: int, x: float, embedding: Embedding, *, reliable: bool = True, score: float = 80.0) -> SeenFace:
    return SeenFace(at_ms, RelativeBox(x, 0.3, 0.1, 0.2), 0.9, {"score": score}, reliable, {R: embedding})


def test_people_who_cross_are_followed() -> None:
    rng = np.random.default_rng(1)
    one, other = random_embeddings(rng, 2)
    linker = TrackletLinker(R)
    for step in range(11):
        at_ms, x = step * 500, step / 10
        faces = [face(at_ms, 0.8 * x, near(one, rng)), face(at_ms, 0.8 * (1 - x), near(other, rng))]
        linker.add(at_ms, faces if step % 2 else faces[::-1])
    tracklets = linker.finish()
    assert [len(tracklet.faces) for tracklet in tracklets] == [11, 11]
    for tracklet in tracklets:
        cosines = [float(seen.embeddings[R] @ tracklet.faces[0].embeddings[R]) for seen in tracklet.faces]
        assert min(cosines) > 0.5


def test_a_break_ends_a_tracklet() -> None:
    rng = np.random.default_rng(2)
    (one,) = random_embeddings(rng, 1)
    linker = TrackletLinker(R)
    for at_ms in (0, 500, 1000, 6000, 6500):
        linker.add(at_ms, [face(at_ms, 0.5, near(one, rng))])
    assert [tracklet.interval for tracklet in linker.finish()] == [Interval(0, 1000), Interval(6000, 6500)]


def test_another_person_at_the_same_place_is_another_tracklet() -> None:
    one, other = random_embeddings(np.random.default_rng(3), 2)
    linker = TrackletLinker(R)
    linker.add(0, [face(0, 0.5, one)])
    linker.add(500, [face(500, 0.5, other)])
    assert len(linker.finish()) == 2


def test_diverse_faces_are_good_ones_that_differ() -> None:
    rng = np.random.default_rng(4)
    (one,) = random_embeddings(rng, 1)
    looks = [near(one, rng, 0.9) for _ in range(8)]
    faces = [face(number, 0.5, look, score=90 - number) for number, look in enumerate(looks)]
    bad = face(99, 0.5, near(one, rng, 0.9), reliable=False, score=20)
    chosen = choose_diverse([*faces, bad], R, 3)
    assert chosen[0] is faces[0]
    assert len({id(one) for one in chosen}) == 3
    assert bad not in chosen
    assert choose_diverse([bad], R, 3) == [bad]


def strand(begin: int, end: int, *embeddings: Embedding, reliable: bool = True) -> Strand:
    return Strand(Interval(begin, end), embeddings, reliable)


def test_tracklets_of_one_person_are_joined_unless_they_overlap() -> None:
    rng = np.random.default_rng(5)
    one, other = random_embeddings(rng, 2)
    strands = [
        strand(0, 1000, near(one, rng)),
        strand(0, 1000, near(other, rng)),
        strand(2000, 3000, near(one, rng), near(one, rng)),
        strand(2500, 3500, near(one, rng)),  # as similar, but seen at the same time
        strand(5000, 6000, near(other, rng)),
        strand(7000, 8000, near(other, rng), reliable=False),
    ]
    groups = join_strands(strands, 0.5)
    assert sorted(map(tuple, groups)) in ([(0, 2), (1, 4), (3,), (5,)], [(0, 3), (1, 4), (2,), (5,)])
    assert join_strands([], 0.5) == []


def test_joining_agrees_with_the_definition() -> None:
    """Of all pairs of groups that may be joined, none reaches the threshold in the end."""
    rng = np.random.default_rng(6)
    people = random_embeddings(rng, 6)
    strands = []
    for _ in range(60):
        begin = int(rng.integers(0, 60_000))
        person = people[int(rng.integers(0, 6))]
        strands.append(strand(begin, begin + int(rng.integers(0, 3000)), near(person, rng, 0.8)))
    groups = join_strands(strands, 0.45)
    assert sorted(index for group in groups for index in group) == list(range(60))
    for place, group in enumerate(groups):
        for first in group:
            assert not any(_overlap(strands[first], strands[second]) for second in group if second != first)
        for other in groups[place + 1 :]:
            if not any(_overlap(strands[first], strands[second]) for first in group for second in other):
                mean = np.mean([strands[a].embeddings[0] @ strands[b].embeddings[0] for a in group for b in other])
                assert mean < 0.45 + 1e-6


def _overlap(one: Strand, other: Strand) -> bool:
    return one.interval.begin_ms <= other.interval.end_ms and other.interval.begin_ms <= one.interval.end_ms


@pytest.mark.parametrize(
    ("intervals", "joined"),
    [
        ([(0, 1000), (3000, 4000)], [(0, 4000)]),
        ([(5000, 6000), (0, 1000)], [(0, 1000), (5000, 6000)]),
        ([(0, 5000), (1000, 2000)], [(0, 5000)]),
    ],
)
def test_intervals_with_a_short_break_are_one(intervals: list[tuple[int, int]], joined: list[tuple[int, int]]) -> None:
    assert join_intervals([Interval(*one) for one in intervals]) == tuple(Interval(*one) for one in joined)
