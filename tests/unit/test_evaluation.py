"""Error rates that are planted come back, and intervals hold them."""

import base64
import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.domain.decisions import Calibration
from app.domain.faces import Embedding, RelativeBox
from app.errors import OperatorError
from app.evaluation.all_pairs import AllPairs
from app.evaluation.answers import Answers
from app.evaluation.charts import histogram_chart, line_chart
from app.evaluation.datasets import Pair, Person, draws_to_leave_out_everyone, read_event, read_pairs, split_open_set
from app.evaluation.failures import Failure, Picture, add_boxes, worst
from app.evaluation.groups import groups_of, rates_by_group
from app.evaluation.identification import GalleryRun, describe, plan_galleries
from app.evaluation.metrics import (
    OpenSet,
    Retrieval,
    best_threshold,
    false_match_rate,
    fnmr_at_fmr,
    folded_accuracy,
    rate_of_pairs,
    rate_of_people,
    retrieval_table,
    threshold_at,
)
from app.evaluation.report import render, report_files, write_report
from app.evaluation.verification import accuracy_gain, evaluate_pairs, require_pairs
from benchmarks.paired_gain import accepted_gain
from tests.integration.conftest import near, random_embeddings


def test_a_threshold_at_a_rate_lets_no_more_through() -> None:
    impostors = np.random.default_rng(1).normal(0, 0.1, 100_000)
    for rate in (1e-1, 1e-2, 1e-3):
        assert false_match_rate(impostors, threshold_at(impostors, rate)) == pytest.approx(rate, rel=0.02)
    assert threshold_at(impostors, 1e-2) == pytest.approx(0.2326, abs=0.005)
    assert false_match_rate(impostors, threshold_at(impostors, 0.0)) == 0
    tied = np.array([0.5] * 10 + [0.1] * 90)
    assert false_match_rate(tied, threshold_at(tied, 0.05)) == 0


def planted(seed: int, people: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Genuine around 0.6, impostors around 0, of equal spread: the best threshold is 0.3, its error 1 in 740."""
    rng = np.random.default_rng(seed)
    is_same = np.arange(10_000) % 2 == 0
    similarities = np.where(is_same, rng.normal(0.6, 0.1, 10_000), rng.normal(0.0, 0.1, 10_000))
    first = rng.integers(0, people, 10_000)
    second = np.where(is_same, first, (first + 1 + rng.integers(0, people - 1, 10_000)) % people)
    return similarities, is_same, np.arange(10_000) // 1000, first, second


def test_folded_accuracy_gives_the_planted_error_back() -> None:
    similarities, is_same, fold, first, second = planted(2)
    found = folded_accuracy(similarities, is_same, fold, first, second, 200, seed=1)
    assert found.accuracy.value == pytest.approx(1 - 0.00135, abs=0.001)
    assert found.accuracy.low <= 1 - 0.00135 <= found.accuracy.high
    assert found.thresholds == pytest.approx([0.3] * 10, abs=0.03)
    missing = similarities.copy()
    missing[:100] = -np.inf  # also of different people: a missing face is an error
    worse = folded_accuracy(missing, is_same, fold, first, second, 200, seed=1)
    assert worse.accuracy.value == pytest.approx(found.accuracy.value - 0.01, abs=0.0005)


def test_the_best_threshold_lies_between_those_it_parts() -> None:
    assert best_threshold(np.array([0.1, 0.2, 0.6, 0.8]), np.array([False, False, True, True])) == pytest.approx(0.4)
    assert best_threshold(np.array([0.5]), np.array([True])) == 0.5
    percent = np.array([5.0, 40.0, 85.0, 99.0])
    assert best_threshold(percent, np.array([False, False, True, True])) == pytest.approx(62.5)
    tied = best_threshold(np.array([0.1, 0.5, 0.5, 0.9]), np.array([False, False, True, True]))
    assert tied != 0.5 or tied <= 0.5


def test_intervals_come_from_people_and_not_from_pairs() -> None:
    """A hundred pairs of one person who is always wrong are one accident, not a hundred."""
    person = np.repeat(np.arange(20), 100)
    wrong = person == 7
    rate = rate_of_people(wrong, person, 20, seed=1)
    assert rate.value == pytest.approx(0.05)
    assert rate.low == 0
    assert rate.high >= 0.15
    independent = rate_of_people(np.arange(2000) % 20 == 0, np.arange(2000), 2000, seed=1)
    assert independent.high - independent.low < 0.03


def test_intervals_cover_what_was_planted_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        people = np.arange(300)
        wrong = rng.random(300) < 0.1
        rate = rate_of_pairs(wrong, people, people, 300, seed=seed)
        covered += rate.low <= 0.1 <= rate.high
    assert covered >= 34


def test_intervals_of_true_accept_rates_know_that_thresholds_are_found_too() -> None:
    truth, covered = 0.5, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        impostors, genuine, ids = rng.normal(0, 1, 2000), rng.normal(2.3263, 1, 2000), np.arange(2000)
        _, missed = fnmr_at_fmr(genuine, impostors, (ids, ids), (ids, ids), 2000, 1e-2, seed=seed)
        covered += missed.low <= truth <= missed.high
    assert covered >= 16


def test_what_no_one_showed_is_not_impossible() -> None:
    people = np.arange(100)
    assert rate_of_people(np.zeros(100, dtype=bool), people, 100, seed=1).high == pytest.approx(0.03)
    assert rate_of_people(np.ones(100, dtype=bool), people, 100, seed=1).low == pytest.approx(0.97)


def test_a_small_gain_shows_on_the_same_pairs_where_two_accuracies_hide_it() -> None:
    rng = np.random.default_rng(8)
    pairs = [
        Pair(Path("a"), Path("b"), f"p{number % 500}", f"p{(number if same else number + 1) % 500}", number // 500)
        for number in range(2000)
        for same in (True, False)
    ]
    is_same = np.array([pair.is_same for pair in pairs])
    before = np.where(is_same, 0.8, 0.2)
    hard = rng.random(len(pairs)) < 0.1
    before[hard] = 1 - before[hard]
    after = before.copy()
    helped = hard & (rng.random(len(pairs)) < 0.1)  # one in a hundred
    after[helped] = 1 - after[helped]
    gain = accuracy_gain(pairs, before, after, seed=1)
    assert gain.value == pytest.approx(helped.mean())
    assert gain.low > 0
    alone = evaluate_pairs(pairs, before, {}, seed=1)[0]["accuracy"]
    assert alone["high"] - alone["low"] > 2 * (gain.high - gain.low)
    assert accuracy_gain(pairs, before, before, seed=1).high == 0


def test_every_pair_is_counted_as_one_by_one() -> None:
    rng = np.random.default_rng(3)
    centers = random_embeddings(rng, 300)
    people = np.repeat(np.arange(300), 3)
    faces: list[Embedding | None] = [near(centers[person], rng, 0.8) for person in people]
    faces[7] = None
    every = AllPairs(faces, people, 300)
    pairs = [(one, other) for one in range(900) for other in range(one + 1, 900)]
    stacked = np.stack([np.zeros(512) if face is None else face for face in faces])
    cosines = np.array(
        [float(stacked[one] @ stacked[other]) if 7 not in (one, other) else -np.inf for one, other in pairs]
    )
    same = np.array([people[one] == people[other] for one, other in pairs])
    assert (len(every.genuine), every.impostors) == (same.sum(), (~same).sum())
    for rate in (1e-2, 1e-3):
        threshold, accepted = every.true_accept_rate(rate, seed=1)
        assert threshold == pytest.approx(threshold_at(cosines[~same], rate), abs=1e-6)
        assert accepted.value == pytest.approx(float((cosines[same] >= threshold).mean()))
        assert accepted.value <= 1 - 2 / 900  # who has no face matches nobody
        assert accepted.low <= accepted.value <= accepted.high
        assert every.false_match_rate(threshold, seed=1).value == pytest.approx(rate, rel=0.02)
        nothing = accepted_gain(every, every, rate, seed=1)
        assert (nothing.low, nothing.value, nothing.high) == (0, 0, 0)
    blurred = [None if face is None else near(face, rng, 0.5) for face in faces]
    gain = accepted_gain(every, AllPairs(blurred, people, 300), 1e-3, seed=1)
    assert 0 < gain.low <= gain.value <= gain.high


def test_rates_of_a_calibration_that_is_far_off_are_not_cut_short() -> None:
    rng = np.random.default_rng(4)
    faces = random_embeddings(rng, 400)
    cosines = np.stack(faces) @ np.stack(faces).T
    strangers = cosines[np.triu_indices(400, 1)]
    for threshold in (-0.05, 0.0, 0.05, 0.1):  # what is beyond is far more than the usual fiftieth
        every = AllPairs(faces, np.arange(400), 400, min_threshold=threshold)
        rate = every.false_match_rate(threshold, seed=1)
        assert rate.value == pytest.approx(float((strangers >= threshold).mean()), abs=0.003)
        assert np.isnan(rate.low) == (rate.value > 0.2)
    assert accepted_gain(every, every, 1e-2, seed=1).count == 0


def test_the_very_same_photo_is_counted() -> None:
    faces = [face for face in random_embeddings(np.random.default_rng(5), 50) for _ in range(2)]
    every = AllPairs(faces, np.repeat(np.arange(50), 2), 50)
    assert sum(every.histogram()["genuine"]) == 50
    assert all(fnmr == pytest.approx(0) for threshold, _, fnmr in every.curve() if threshold < 0.99)


def test_an_open_set_search_fails_by_rank_or_by_threshold() -> None:
    found = OpenSet(np.array([1, 1, 2, 0]), np.array([0.9, 0.4, 0.8, -np.inf]), np.array([0.1, 0.5, 0.2, 0.3]))
    assert found.cmc(3) == [0.5, 0.75, 0.75]
    assert found.misses(0.45).tolist() == [False, True, True, True]
    assert found.misses(0.45, rank=2).tolist() == [False, True, False, True]


def test_a_report_has_a_gallery_with_too_few_strangers_for_a_rate() -> None:
    rng, calibration = np.random.default_rng(1), Calibration(((1e-2, 0.2), (1e-4, 0.4)), "a test")
    rows = []
    for size, strangers in ((100, 2000), (2000, 200)):  # of 200, 1 in 100 is two: too few to tell
        found = OpenSet(np.ones(50, dtype=np.int64), rng.uniform(0.3, 0.9, 50), rng.normal(0, 0.1, strangers))
        people, others = [f"p{number}" for number in range(50)], [f"s{number}" for number in range(strangers)]
        wrongly = np.arange(strangers) % 100 == 0
        run = GalleryRun(found, people, others, np.arange(50) > 4, wrongly, [0.01] * strangers)
        rows.append({"gallery": size, **describe([run], calibration, size, seed=1)})
        decided = rows[-1]["decided"]
        assert (decided["stated"], decided["fpir"]["value"]) == pytest.approx((0.01, 0.01))
        assert decided["fnir"]["value"] == pytest.approx(0.1)
        assert decided["fpir"]["low"] < 0.01 < decided["fpir"]["high"]
    assert [len(row["fnir_at_fpir"]) for row in rows] == [2, 1]
    page = render({"kind": "Identification", "about": {}, "galleries": rows}, with_pictures=False)
    for heading in ("FNIR at FPIR 0.01", "CMC", "FPIR by gallery size"):
        assert heading in page


def test_an_events_table() -> None:
    found = [
        Retrieval([True, True, False], relevant=4),
        Retrieval([False, True], relevant=1),
        Retrieval([], relevant=2),
        Retrieval([True] * 12 + [False] * 8, relevant=12),
    ]
    table = retrieval_table(found, np.arange(4), 4, seed=1)
    assert all(rate.low <= rate.value <= rate.high for rate in table.values())
    assert table["precision_at_10"].count == 3
    nothing = retrieval_table([Retrieval([], relevant=0)], np.arange(1), 1, seed=1)
    assert nothing["recall_at_20"].as_json()["value"] is None
    assert nothing["rank_1"].count == 0  # whoever is in no photo cannot be found
    assert {name: rate.value for name, rate in table.items()} == pytest.approx(
        {
            "precision": (2 / 3 + 1 / 2 + 12 / 20) / 3,
            "recall": (2 / 4 + 1 + 0 + 1) / 4,
            "precision_at_10": (2 / 3 + 1 / 2 + 1) / 3,
            "precision_at_20": (2 / 3 + 1 / 2 + 12 / 20) / 3,
            "rank_1": 2 / 4,
            "rank_5": 3 / 4,
            "recall_at_20": (2 / 4 + 1 + 0 + 1) / 4,
            "false_positives_at_10": (1 + 1 + 0 + 0) / 4,
            "false_positive_free_at_10": 2 / 4,
            "false_positive_free": 1 / 4,
            "empty_rate": 1 / 4,
        }
    )


def test_rates_by_group_and_the_largest_ratio() -> None:
    def pair(first: str, second: str) -> Pair:
        return Pair(Path("a"), Path("b"), first, second, 0)

    pairs = [pair("a1", "a2")] * 10 + [pair("b1", "b2")] * 10 + [pair("a1", "b1")] * 10 + [pair("a1", "a1")] * 4
    similarities = np.array([0.9] * 1 + [0.1] * 9 + [0.9] * 4 + [0.1] * 6 + [0.9] * 10 + [0.9, 0.9, 0.9, 0.1])
    groups = {"a1": "A", "a2": "A", "b1": "B", "b2": "B"}
    found = rates_by_group(pairs, similarities, groups, 0.5, seed=1)
    assert found["groups"]["A"]["fmr"]["value"] == pytest.approx(0.1)
    assert found["groups"]["B"]["fmr"]["value"] == pytest.approx(0.4)
    assert (found["groups"]["A"]["fnmr"]["value"], found["groups"]["A"]["fnmr"]["count"]) == (pytest.approx(0.25), 4)
    assert found["groups"]["B"]["fnmr"] is None
    assert found["largest_ratio"]["fmr"]["between"] == ["B", "A"]
    assert found["largest_ratio"]["fmr"]["value"] == pytest.approx(4)
    assert found["largest_ratio"]["fnmr"] is None


def test_a_planted_ratio_of_groups_lies_in_its_interval() -> None:
    """One group is mistaken twice as often; each person of it is in few pairs, so it can be told."""
    covered = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        pairs, similarities = [], []
        for group, rate in (("a", 0.1), ("b", 0.2)):
            for _ in range(3000):
                first, second = rng.choice(400, 2, replace=False)
                pairs.append(Pair(Path("a"), Path("b"), f"{group}{first}", f"{group}{second}", 0))
                similarities.append(float(rng.random() < rate))
        groups = {f"{group}{number}": group for group in "ab" for number in range(400)}
        ratio = rates_by_group(pairs, np.array(similarities), groups, 0.5, seed=seed)["largest_ratio"]["fmr"]
        covered += ratio["between"] == ["b", "a"] and ratio["low"] <= 2 <= ratio["high"]
    assert covered >= 8


def test_a_ratio_has_no_upper_end_where_the_lower_rate_may_be_none() -> None:
    pairs = [
        Pair(Path("a"), Path("b"), f"{group}{number}", f"{group}{number}", 0) for group in "ab" for number in range(400)
    ]
    similarities = np.array([0.1 if number < wrong else 0.9 for wrong in (40, 1) for number in range(400)])
    groups = {pair.first_person: pair.first_person[0] for pair in pairs}
    ratio = rates_by_group(pairs, similarities, groups, 0.5, seed=1)["largest_ratio"]["fnmr"]
    assert (ratio["value"], ratio["high"]) == (pytest.approx(40), None)
    assert 5 < ratio["low"] < 40
    with pytest.raises(OperatorError, match="--groups"):
        groups_of(pairs, {"somebody": "else"})


def test_pairs_that_can_tell_nothing_are_refused_before_a_photo_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    there = tmp_path / "1.jpg"

    def pair(second: str, fold: int, photo: Path = there) -> Pair:
        return Pair(there, photo, "ada", second, fold)

    for pairs, said in (
        ([pair("ada", 0), pair("bob", 0)], "two folds"),
        ([pair("bob", 0), pair("bob", 1)], "of one person"),
        ([pair("ada", 0), pair("bob", 1, tmp_path / "2.jpg")], "2.jpg cannot be read"),
    ):
        with pytest.raises(OperatorError, match=said):
            require_pairs(pairs)
    require_pairs([pair("ada", 0), pair("bob", 1)])
    missing, is_same = np.array([-np.inf, -np.inf, 0.9, 0.1]), np.array([True, False, True, False])
    with pytest.raises(OperatorError, match="faces in some pairs of each"):
        folded_accuracy(missing, is_same, np.array([0, 0, 1, 1]), np.arange(4), np.arange(4), 4, seed=1)


def test_lfws_pairs_are_read_with_their_folds(tmp_path: Path) -> None:
    listed = tmp_path / "pairs.txt"
    listed.write_text("2\t1\nada\t1\t2\nada\t1\tbob\t3\nbob\t1\t2\ncid\t1\tada\t2\n")
    pairs = read_pairs(tmp_path, listed)
    assert [(pair.is_same, pair.fold) for pair in pairs] == [(True, 0), (False, 0), (True, 1), (False, 1)]
    assert pairs[1].second == tmp_path / "bob" / "bob_0003.jpg"
    listed.write_text("1\nZoë de la Crüz\t1\t2\n\nZoë de la Crüz\t1\tAn Na\t2\n")
    assert [(pair.first_person, pair.is_same) for pair in read_pairs(tmp_path, listed)] == [
        ("Zoë de la Crüz", True),
        ("Zoë de la Crüz", False),
    ]
    for wrong in ("many\n", "1 1\nada 1\n", "1 1\nada one two\n", "1\nada\0 1 2\n"):
        listed.write_text(wrong)
        with pytest.raises(OperatorError, match="line"):
            read_pairs(tmp_path, listed)


def test_a_split_is_the_same_for_the_same_seed_and_keeps_strangers_out() -> None:
    people = [
        Person(f"p{number}", tuple(Path(f"p{number}/{index}") for index in range(1 + number % 3)))
        for number in range(60)
    ]
    one, again, other = (split_open_set(people, 30, seed=seed, searches=100) for seed in (1, 1, 2))
    assert one == again != other
    inside = {name for name, _ in one.gallery}
    assert len(inside) == 30
    assert {name for name, _ in one.mated} <= inside
    assert not {name for name, _ in one.strangers} & inside
    assert not {photo for _, photo in one.gallery} & {photo for _, photo in one.mated}
    with pytest.raises(OperatorError, match="leaves no strangers"):
        split_open_set(people, 60, seed=1, searches=10)


def test_everybody_is_a_stranger_once_where_galleries_are_drawn_often_enough() -> None:
    people = [Person(f"p{number}", (Path(f"p{number}/1"), Path(f"p{number}/2"))) for number in range(50)]
    for size in (3, 30, 45):
        (plan,) = plan_galleries(people, [size], seed=1, searches=1000, repeats=1, is_cheap=True)
        assert len(plan.splits) == draws_to_leave_out_everyone(50, size)
        left_out = [name for split in plan.splits for name in {name for name, _ in split.strangers}]
        assert set(left_out) == {person.name for person in people}
        assert len(left_out) < 50 + 25  # hardly anybody twice
        assert all(len(split.gallery) == size for split in plan.splits)
    (once,) = plan_galleries(people, [45], seed=1, searches=1000, repeats=2, is_cheap=False)
    assert len(once.splits) == 2


def test_a_failure_is_shown_as_crops_and_only_where_asked_for(tmp_path: Path) -> None:
    photo = tmp_path / "wide.png"
    picture = Image.new("RGB", (400, 100), "blue")
    picture.paste("red", (300, 20, 340, 60))
    picture.save(photo)
    known = Picture("searched", photo, RelativeBox(0.75, 0.2, 0.1, 0.4))
    failures = [Failure("they <b>", (known, Picture("found", photo)), 1.0), Failure("less", (known,), 0.1)]
    assert [failure.description for failure in worst(failures)] == ["they <b>"]  # of the same photo, the more wrong
    other = Failure("other", (Picture("searched", tmp_path / "other.png"),), 0.5)
    assert [failure.description for failure in worst([*failures, other])] == ["they <b>", "other"]
    assert [failure.description for failure in worst([*failures, other], 1)] == ["they <b>"]
    placed = add_boxes(failures, lambda _: RelativeBox(0.0, 0.0, 0.1, 0.4))
    assert [one.box for one in placed[0].pictures] == [known.box, RelativeBox(0.0, 0.0, 0.1, 0.4)]
    result = {"kind": "A", "about": {}, "failures": [failure.as_json() for failure in placed]}
    assert "<img" not in render(result, with_pictures=False)
    page = render(result, with_pictures=True)
    assert "they &lt;b&gt;" in page
    shown = [Image.open(BytesIO(base64.b64decode(part.split('"')[0]))) for part in page.split("base64,")[1:]]
    assert len(shown) == 3
    assert all(image.width / image.height < 1.6 for image in shown)  # the face and a little around it
    red, _, blue = np.asarray(shown[0])[shown[0].height // 2, shown[0].width // 2].tolist()
    assert red > 200
    assert blue < 60
    for with_pictures, mode in ((False, 0o644), (True, 0o600), (False, 0o644)):
        _, written = write_report(tmp_path / "out", result, with_pictures=with_pictures)
        assert written.stat().st_mode & 0o777 == mode  # faces are for whoever asked for them
        assert ("<img" in written.read_text()) == with_pictures


def test_an_events_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / "event.csv"
    manifest.write_text("kind,photo,people\nphoto,1.jpg,ada;bob\nphoto,2.jpg,\nselfie,s.jpg,ada\n")
    event = read_event(tmp_path, manifest)
    assert event.photos == {tmp_path / "1.jpg": {"ada", "bob"}, tmp_path / "2.jpg": frozenset()}
    assert event.selfies == [("ada", tmp_path / "s.jpg")]
    manifest.write_text("kind,photo,people\nselfie,s.jpg,ada;bob\n")
    with pytest.raises(OperatorError, match="line 2"):
        read_event(tmp_path, manifest)


def test_a_run_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    path, about = tmp_path / "run" / "answers.jsonl", {"pack": "a"}

    def interrupted() -> None:
        with Answers(path, about, keep=False) as answers:
            answers.put("one", 0.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with path.open("a") as file:
        file.write('["two", 0.')  # cut off
    with Answers(path, about, keep=True) as answers:
        assert "one" in answers
        assert answers.get_or_compute("one", lambda: 1 / 0) == 0.5
        assert "two" not in answers
        answers.put("three", [1.5])
    with Answers(path, about, keep=True) as answers:
        assert answers.get_or_compute("three", lambda: 1 / 0) == [1.5]  # not lost behind what was cut off
    with Answers(path, {"pack": "b"}, keep=False) as answers:
        assert "one" not in answers
    assert not path.exists()


def test_a_runs_collection_is_there_until_the_run_is_done(tmp_path: Path) -> None:
    path, about, done = tmp_path / "answers.jsonl", {"url": "a"}, list[str]()

    def open_one(name: str, error: type[BaseException] | None = None) -> str:
        with (
            Answers(path, about, keep=True) as answers,
            answers.collection(
                name, lambda made: done.append(f"+{made}"), lambda gone: done.append(f"-{gone}")
            ) as collection,
        ):
            if error is not None:
                raise error
        return collection

    with pytest.raises(KeyboardInterrupt):
        open_one("first", KeyboardInterrupt)
    made = done[0][1:]
    assert done == [f"+{made}", f"-{made}", f"+{made}"]  # that it can be erased is tried first
    with Answers(path, about, keep=True) as answers:
        assert answers.open_collections == [made]
    with pytest.raises(OperatorError, match=made):
        Answers(path, {"url": "b"}, keep=True)
    assert open_one("first") == made
    assert done[3:] == [f"-{made}"]
    assert open_one("first") == made
    assert len(done) == 4
    with pytest.raises(KeyboardInterrupt):
        open_one("second", KeyboardInterrupt)
    with Answers(path, about, keep=True) as answers:
        (left,) = answers.open_collections
        answers.erase_open_collections(lambda gone: done.append(f"-{gone}"))
        assert (answers.open_collections, done[-1]) == ([], f"-{left}")
        assert "collection first" in answers
        answers.clear()
        assert "collection first" not in answers
    assert path.read_text().splitlines() == ['{"url": "a"}']


def test_two_runs_do_not_write_in_one_place(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    script = (
        "import pathlib, sys, app.evaluation.answers as here; here.Answers(pathlib.Path(sys.argv[1]), {}, keep=True)"
    )
    command = [sys.executable, "-c", script, str(path)]
    with Answers(path, {}, keep=True):
        other = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another run is writing there" in other.stderr
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_report_has_numbers_that_json_has(tmp_path: Path) -> None:
    text, _ = write_report(
        tmp_path, {"kind": "A", "about": {"one": float("nan")}, "x": [float("inf"), 1.5]}, with_pictures=False
    )
    assert json.loads(text.read_text()) == {"kind": "A", "about": {"one": None}, "x": [None, 1.5]}
    (tmp_path / "taken" / "report.html").mkdir(parents=True)
    with pytest.raises(OperatorError, match="cannot be written"):
        report_files(tmp_path / "taken")


def test_charts_take_whatever_there_is() -> None:
    for chart in (
        line_chart("a <b>", {"x": [(0.0, 1.0), (1e-3, 0.1), (float("nan"), 1)], "y": []}, x="x", y="y", log_x=True),
        line_chart("none", {}, x="x", y="y"),
        line_chart(
            "bars",
            {"x": [(1.0, 0.2)]},
            x="x",
            y="y",
            log_y=True,
            intervals={"x": [(1.0, 0.0, 0.3), (2.0, None, None)]},
        ),
        histogram_chart("h", [0, 1, 2], {"one": [1, 2], "none": [0, 0]}, x="x"),
    ):
        assert chart.startswith("<svg")
        assert "<b>" not in chart
        assert "nan" not in chart
