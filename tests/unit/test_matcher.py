"""Similarity, decision, and the exact search that everything else is checked against."""

from uuid import uuid4

import numpy as np
import pytest

from app.domain.decisions import Calibration, Candidate, Decision, DecisionPolicy
from app.matcher.cached_codes import CachedCodes
from app.matcher.hnsw.graph import Graph
from app.matcher.search import Gallery
from app.matcher.similarity import clip_similarity, cosine_similarity
from app.matcher.strategy import CodeDepth, GalleryFacts, SearchLimits, Strategy, choose_strategy, code_depth
from app.matcher.subject_similarity import common_embedding
from app.matcher.thresholds import Thresholds, decide_candidate
from tests.exact_search import ExactSearch, StoredTemplate


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
    assert thresholds(10, 0.45).decide(0.45) is Decision.MATCH
    assert thresholds(10, 0.45).decide(0.449) is Decision.NO_MATCH


async def test_exact_search_ranks_subjects_by_their_best_template() -> None:
    gallery = Gallery(uuid4(), "rec:1")
    other_model, other_collection = Gallery(gallery.collection_id, "rec:2"), Gallery(uuid4(), "rec:1")
    ben = uuid4()
    search = ExactSearch(
        [
            StoredTemplate(gallery, ben, "b", "Ben", unit(1, 1)),
            StoredTemplate(gallery, ben, "b", "Ben", unit(0, 1)),
            StoredTemplate(gallery, uuid4(), "a", "Ada", unit(1, 1)),
            StoredTemplate(gallery, uuid4(), "c", "Cleo", unit(-1)),
            StoredTemplate(other_model, uuid4(), "x", None, unit(1)),
            StoredTemplate(other_collection, uuid4(), "y", None, unit(1)),
        ]
    )
    (found,) = await search.search(gallery, [unit(1)], 10)
    assert [candidate.subject for candidate in found] == ["a", "b", "c"]
    assert found[0].similarity == pytest.approx(0.7071, abs=1e-4)
    (one,) = await search.search(gallery, [unit(1)], 1)
    assert [candidate.subject for candidate in one] == ["a"]


CALIBRATION = Calibration(((1e-2, 0.2), (1e-3, 0.3), (1e-4, 0.4)), "a test")


def thresholds(comparisons: int, explicit: float | None = None, **policy: float) -> Thresholds:
    return Thresholds.from_policy(CALIBRATION, DecisionPolicy(**policy), comparisons, explicit)


def test_a_candidate_matches_where_its_best_template_and_the_whole_subject_do() -> None:
    for similarities, decision in (
        ((0.5, 0.45), Decision.MATCH),
        ((0.5, 0.44), Decision.NO_MATCH),
        ((0.44, 0.5), Decision.NO_MATCH),
    ):
        decided = decide_candidate(Candidate("a", None, *similarities), thresholds(10, 0.45))
        assert decided.decision is decision


def test_thresholds_follow_the_gallery_as_it_grows() -> None:
    assert thresholds(1).match == pytest.approx(0.3)
    assert thresholds(10).match == pytest.approx(0.4, abs=1e-3)
    assert thresholds(100).match == pytest.approx(0.5, abs=1e-3)  # extrapolated
    assert thresholds(10, max_false_match_rate=1e-2, review_false_match_rate=1e-1).match == pytest.approx(0.3, abs=1e-3)
    assert (thresholds(0).match, thresholds(0).false_match_rate) == (thresholds(1).match, 0)
    for comparisons in (1, 7, 1_000, 10**6):
        used = thresholds(comparisons)
        assert used.false_match_rate == pytest.approx(1e-3, rel=1e-6) or used.match == 0.999
        assert used.review <= used.match


def test_between_match_and_no_match_somebody_should_look() -> None:
    used = thresholds(100)
    assert used.review < used.match
    assert [used.decide(used.match), used.decide(used.match - 1e-6)] == [Decision.MATCH, Decision.REVIEW]
    assert [used.decide(used.review), used.decide(used.review - 1e-6)] == [Decision.REVIEW, Decision.NO_MATCH]
    assert used.false_match_rate_at(used.review) == pytest.approx(5e-2)


def test_an_explicit_threshold_wins_and_says_how_often_it_is_wrong() -> None:
    used = thresholds(100, explicit=0.3)
    assert (used.match, used.review) == (0.3, 0.3)
    assert used.false_match_rate == pytest.approx(1 - 0.999**100)
    assert thresholds(1000, explicit=1.0).false_match_rate < 1e-6


@pytest.mark.parametrize("comparisons", [1, 7, 1000])
def test_a_threshold_that_one_stranger_in_two_reaches_makes_no_match(comparisons: int) -> None:
    used = thresholds(comparisons, explicit=-1.0)
    assert used.false_match_rate == pytest.approx(0.5)
    assert (used.decide(used.match), used.decide(used.match - 1e-6)) == (Decision.MATCH, Decision.REVIEW)
    assert used.decide(-1.0) == Decision.REVIEW


def test_no_rate_is_told_that_is_far_beyond_what_was_measured() -> None:
    rarest = CALIBRATION.points[-1][0]
    for comparisons in (1, 100):
        used = thresholds(comparisons, max_false_match_rate=1e-2)
        near = CALIBRATION.similarity_at(rarest / 10)
        assert used.reported_false_match_rate(near) == pytest.approx(used.false_match_rate_at(near))
        far = CALIBRATION.similarity_at(rarest * 1e-9)
        assert (
            used.false_match_rate_at(far)
            < used.reported_false_match_rate(far)
            == pytest.approx(comparisons * rarest * 1e-3, rel=1e-3)
        )
        decided = decide_candidate(Candidate("a", None, far, far), used)
        assert (decided.decision, decided.false_match_rate) == (Decision.MATCH, used.reported_false_match_rate(far))
    many = thresholds(
        10**6, max_false_match_rate=1e-2
    )  # of which a thousandth of the rarest would be more than allowed
    assert many.reported_false_match_rate(0.9999) == pytest.approx(many.false_match_rate) or many.match == 0.999


def test_rates_and_similarities_are_each_others_inverse() -> None:
    for rate in (0.5, 1e-1, 1e-2, 3e-3, 1e-3, 1e-4, 1e-7):
        assert CALIBRATION.rate_at(CALIBRATION.similarity_at(rate)) == pytest.approx(rate)
    assert CALIBRATION.rate_at(-1) == 1
    steep = Calibration(((1e-3, 0.320), (1e-5, 0.321)), "a test")
    assert (steep.rate_at(-1), steep.rate_at(1)) == (1, 0)


def test_a_subject_of_one_template_is_that_template() -> None:
    assert common_embedding([unit(1, 1)]) == pytest.approx(unit(1, 1))


def test_one_bad_photo_neither_spoils_a_subject_nor_attracts_its_stranger() -> None:
    good = [unit(1, 0, *(0.7 if place == index else 0 for place in range(4))) for index in range(4)]
    stranger = unit(0, 1)
    whole = common_embedding(good)
    spoilt = common_embedding([*good, stranger])
    assert float(whole @ spoilt) > 0.99
    assert cosine_similarity(spoilt, stranger) < 0.1
    # A plain mean would move three times as far towards the stranger.
    plain = np.mean([*good, stranger], axis=0)
    assert cosine_similarity(spoilt, stranger) < float(plain @ stranger) / float(np.linalg.norm(plain)) / 3


def test_templates_that_cancel_out_leave_the_newest() -> None:
    assert common_embedding([unit(1), unit(-1)]) == pytest.approx(unit(-1))


def facts(templates: int, *, newer: int = 0, trusted: bool = False, graph: bool = False) -> GalleryFacts:
    walked = Graph("graph", templates - newer, trusted) if graph else None
    return GalleryFacts(uuid4(), templates, templates, 0, 0, walked)


LIMITS = SearchLimits(exact=100, cache_tail=10, graph_tail=20)


@pytest.mark.parametrize(
    ("gallery", "cached_through_seq", "chosen"),
    [
        (facts(100), None, Strategy.EXACT),
        (facts(100), 100, Strategy.EXACT),
        (facts(101), None, Strategy.CODES),
        (facts(101), 91, Strategy.CACHED_CODES),
        (facts(101), 90, Strategy.CODES),
        (facts(500, graph=True, trusted=True, newer=20), None, Strategy.GRAPH),
        (facts(500, graph=True, trusted=True, newer=21), None, Strategy.CODES),
        (facts(500, graph=True, trusted=False), None, Strategy.CODES),
        (facts(500, graph=True, trusted=True), 500, Strategy.CACHED_CODES),
    ],
)
def test_the_strategy_follows_the_size_and_what_is_at_hand(
    gallery: GalleryFacts, cached_through_seq: int | None, chosen: Strategy
) -> None:
    assert choose_strategy(gallery, LIMITS, cached_through_seq=cached_through_seq) is chosen


def test_a_part_of_the_codes_goes_on_within_bounds() -> None:
    depths = [code_depth(size, 100) for size in (10, 20_000, 100_000, 10**6, 10**7)]
    assert [depth.by_signs for depth in depths] == [400, 400, 2000, 10_000, 10_000]
    assert [depth.by_product for depth in depths] == [200, 200, 400, 1000, 1000]
    assert code_depth(10, 900) == CodeDepth(900, 900)


def codes_of(embeddings: np.ndarray) -> CachedCodes:
    packed = np.packbits(embeddings > 0, axis=1).view(np.uint64)
    return CachedCodes(0, 0, len(embeddings), np.arange(1, len(embeddings) + 1), np.ascontiguousarray(packed.T))


def test_the_nearest_codes_are_those_with_the_fewest_different_signs() -> None:
    embeddings = np.random.default_rng(0).standard_normal((300, 512)).astype(np.float32)
    probe = embeddings[7] + np.float32(0.5) * embeddings[9]
    differences = ((embeddings > 0) != (probe > 0)).sum(axis=1)
    for count in (1, 10, 299, 300, 1000):
        found = codes_of(embeddings).nearest(probe, CodeDepth(count, 1000))
        cut = np.sort(differences)[min(count, 300) - 1]
        assert found.tolist() == [index + 1 for index in range(300) if differences[index] <= cut][: 2 * count]


def test_of_the_nearest_codes_those_go_on_whose_signs_agree_with_the_probe_itself() -> None:
    embeddings = np.random.default_rng(1).standard_normal((300, 512)).astype(np.float32)
    probe = embeddings[7] + np.float32(0.5) * embeddings[9]
    products = np.where(embeddings > 0, 1, -1) @ probe
    found = codes_of(embeddings).nearest(probe, CodeDepth(300, 20))
    assert found.tolist() == sorted(np.argsort(-products)[:20] + 1)


def test_a_crowd_of_equal_codes_pushes_no_nearer_one_out() -> None:
    rng = np.random.default_rng(2)
    probe = rng.standard_normal(512).astype(np.float32)
    copied, mate = (probe + weight * rng.standard_normal(512).astype(np.float32) for weight in (2, 1))
    cached = codes_of(np.stack([copied] * 500 + [mate]))
    assert 501 in cached.nearest(probe, CodeDepth(100, 50)).tolist()
