"""Error rates that are planted come back."""

import numpy as np
import pytest

from app.domain.decisions import Calibration, DecisionPolicy
from app.domain.faces import Embedding
from app.matcher.impostors import ImpostorRates, count_impostor_pairs, find_points, measure_impostors
from app.matcher.thresholds import Thresholds
from tests.integration.conftest import near, random_embeddings


def test_only_pairs_of_different_people_count() -> None:
    rng = np.random.default_rng(1)
    faces = random_embeddings(rng, 40)
    together = [*faces, *(near(face, rng, 0.9) for face in faces)]
    people = np.array([*range(40), *range(40)])
    counts = count_impostor_pairs(together, people)
    assert counts.sum() == pytest.approx(40 * 39 / 2)  # two people are one pair, whatever photos there are of them
    cosines = np.linspace(-1, 1, 20_001)[:-1]
    assert cosines[counts.nonzero()[0].max()] < 0.5


def test_a_planted_distribution_gives_its_rates_back() -> None:
    rng = np.random.default_rng(2)
    counts = np.histogram(rng.normal(0.05, 0.1, 4_000_000), np.linspace(-1, 1, 20_001))[0]
    points = dict(find_points(counts))
    for rate, deviations in ((1e-1, 1.2816), (1e-2, 2.3263), (1e-3, 3.0902), (1e-4, 3.7190)):
        assert points[rate] == pytest.approx(0.05 + deviations * 0.1, abs=0.005)
    assert 1e-6 not in points  # four pairs tell nothing


def test_somebody_who_stands_there_twice_changes_little() -> None:
    rng = np.random.default_rng(4)
    faces = random_embeddings(rng, 300)
    twice = [*faces, *(near(faces[0], rng, 0.9) for _ in range(10))]
    alone = find_points(count_impostor_pairs(faces, np.arange(300)))
    doubled = find_points(count_impostor_pairs(twice, np.array([*range(300), *([300] * 10)])))
    assert [cosine for _, cosine in doubled] == pytest.approx([cosine for _, cosine in alone], abs=0.01)


def test_people_who_are_all_one_have_no_calibration() -> None:
    (face,) = random_embeddings(np.random.default_rng(9), 1)
    assert measure_impostors([face] * 60, np.arange(60)).points == ()
    rng = np.random.default_rng(9)
    some = measure_impostors([*random_embeddings(rng, 100), *([face] * 20)], np.arange(120))
    assert [rate for rate, _ in some.points] == [1e-1]  # 190 of 7,140 pairs are one face


def test_few_people_are_too_few_however_many_photos_there_are() -> None:
    rng = np.random.default_rng(5)
    faces = [near(face, rng, 0.8) for face in random_embeddings(rng, 10) for _ in range(40)]
    assert find_points(count_impostor_pairs(faces, np.repeat(np.arange(10), 40))) == ()


def test_intervals_hold_the_planted_rate_about_as_often_as_they_say() -> None:
    """Each calibration from people of its own; half of what makes strangers alike is theirs, so pairs hang together."""
    rng = np.random.default_rng(6)
    pull, inside, seen = random_embeddings(rng, 1)[0], 0, 0

    def crowd(number: int) -> list[Embedding]:
        strength = np.abs(rng.normal(0, 0.25, number))
        faces = np.stack(random_embeddings(rng, number)) + strength[:, None] * pull
        return list((faces / np.linalg.norm(faces, axis=1, keepdims=True)).astype(np.float32))

    everybody = measure_impostors(crowd(3000), np.arange(3000))
    truth = Calibration(everybody.points, "everybody")
    for _ in range(40):
        measured = measure_impostors(crowd(200), np.arange(200))
        for (_, cosine), (low, high) in zip(measured.points, measured.intervals, strict=True):
            inside += low <= truth.rate_at(cosine) <= high
            seen += 1
    assert seen == 40 * 3  # 19,900 pairs tell what is rarer than one in a thousand no more
    assert 0.85 <= inside / seen <= 0.99


def test_a_rate_that_rests_on_few_people_is_known_less_well() -> None:
    rng = np.random.default_rng(7)
    faces = random_embeddings(rng, 400)
    alone = measure_impostors(faces, np.arange(400))
    family = [near(faces[0], rng, 0.9) for _ in range(30)]  # 435 pairs, all of one family
    joined = measure_impostors([*faces, *family], np.arange(430))

    def spread(measured: ImpostorRates) -> float:
        low, high = measured.intervals[[rate for rate, _ in measured.points].index(1e-3)]
        return high / low

    assert spread(joined) > 2 * spread(alone)


@pytest.mark.parametrize("templates", [100, 1000])
def test_a_searchs_stated_rate_is_the_observed_one(templates: int) -> None:
    """Strangers searched in galleries of strangers, at thresholds from a calibration on other people."""
    rng = np.random.default_rng(3)
    measured = find_points(count_impostor_pairs(random_embeddings(rng, 3000), np.arange(3000)))
    policy = DecisionPolicy(max_false_match_rate=0.05, review_false_match_rate=0.2)
    used = Thresholds.from_policy(Calibration(measured, "a test"), policy, templates)
    gallery, probes = np.stack(random_embeddings(rng, templates)), np.stack(random_embeddings(rng, 3000))
    best = (probes @ gallery.T).max(axis=1)
    assert 0.5 < float((best >= used.match).mean()) / 0.05 < 2
    assert 0.5 < float((best >= used.review).mean()) / 0.2 < 2
