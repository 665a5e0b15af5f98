"""How right it is on real photos: verification, identification, stated rates and observed, beside plain insightface.

    python -m benchmarks.accuracy --photos DIR --pairs FILE --pack DIR --data DIR [--out FILE]

Also what the quality gate, which registration asks, would have kept out, and how often those faces are missed. Every
way embeds every photo once (kept in --data, so that a run can go on; they are embeddings of real people: delete them
afterwards). The face nearest the photo's middle counts; a photo without one is wrong in every pair. Calibrations are
made on one half of the people and looked at on the other.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.domain.decisions import Calibration
from app.domain.faces import Embedding
from app.evaluation.answers import Answers
from app.evaluation.datasets import Pair, Person, read_pairs, read_people
from app.evaluation.every_pair import EveryPair
from app.evaluation.identification import evaluate_galleries, plan_galleries
from app.evaluation.systems.in_process import InProcess, Nearest, pack_embedding, unpack_embedding
from app.evaluation.systems.photos import identity_of
from app.evaluation.verification import accuracy_gain, evaluate_all_pairs, evaluate_pairs
from app.matcher.strangers import COSINE_BINS, count_strangers, measure_strangers
from app.ml.analysis import Embed, FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.detection_accuracy import _reference
from benchmarks.machine import describe_run
from benchmarks.paired_gain import accepted_gain

SEED = 1
GALLERIES = (100, 500, 1000, 2000)
RATES = (1e-2, 1e-3, 1e-4)


class Reference:
    """Plain insightface on onnxruntime's CPU provider: 640x640 and a small look, its own alignment."""

    def __init__(self, pack: Path, answers: Answers, directory: str) -> None:
        self._look = _reference(str(pack), directory)
        self._idempotency_records = answers

    def embed(self, photo: Path) -> Embedding | None:
        """As `Embeds`."""

        def look() -> str | None:
            found = self._look(photo).embedding
            return None if found is None else pack_embedding(found)

        found = self._idempotency_records.ask(f"one {identity_of(photo)}", look)
        return None if found is None else unpack_embedding(found)


def load(pack: str, providers: str, directory: str) -> FaceAnalyzer:
    wanted = {"model_pack": pack, "providers": providers, "data_dir": directory, "inference_threads": 1}
    return build_analyzer(Settings.model_validate(wanted))


def photos_of(pairs: Sequence[Pair]) -> dict[Path, str]:
    """Every photo of the pairs, and who is on it."""
    photos: dict[Path, str] = {}
    for pair in pairs:
        photos |= {pair.first: pair.first_person, pair.second: pair.second_person}
    return photos


@dataclass(frozen=True, slots=True)
class Seen:
    """What one way made of the photos: an embedding of each, and the similarity of each pair."""

    embeddings: list[Embedding | None]
    similarities: "np.ndarray[Any, np.dtype[np.float64]]"


def verify(system: Any, pairs: Sequence[Pair], calibration: Calibration, name: str) -> tuple[dict[str, Any], Seen]:
    """One way's table."""
    photos = photos_of(pairs)
    counted = iter(range(1, len(photos) + 1))

    def advance() -> None:
        done = next(counted)
        if done % 1000 == 0:
            print(f"{name}: {done} of {len(photos)} photos", flush=True)

    whole = evaluate_all_pairs(system, photos, calibration, advance, seed=SEED)
    embeddings = {photo: system.embed(photo) for photo in photos}

    def similarity(pair: Pair) -> float:
        one, other = embeddings[pair.first], embeddings[pair.second]
        return float("-inf") if one is None or other is None else float(one @ other)

    similarities = np.array([similarity(pair) for pair in pairs])
    found, _ = evaluate_pairs(pairs, similarities, {}, seed=SEED)
    return {
        "accuracy": found["accuracy"],
        "pairs_without_a_face": found["pairs_without_a_face"],
        "photos": whole["photos"],
        "photos_without_a_face": whole["photos_without_a_face"],
        "impostors": whole["impostors"],
        "tar_at_far": whole["tar_at_far"],
    }, Seen(list(embeddings.values()), similarities)


def gains(pairs: Sequence[Pair], reference: Seen, ways: Mapping[str, Seen]) -> dict[str, Any]:
    """How much better each way is than the reference on the very same pairs, with the interval of the difference."""
    photos = photos_of(pairs)
    names, people = np.unique(list(photos.values()), return_inverse=True)

    def every_pair(seen: Seen) -> EveryPair:
        return EveryPair(seen.embeddings, people.astype(np.int64), len(names))

    before = every_pair(reference)
    found = {}
    for name, seen in ways.items():
        after = every_pair(seen)
        found[name] = {
            "accuracy": accuracy_gain(pairs, reference.similarities, seen.similarities, seed=SEED).as_json(),
            "tar_at_far": {f"{rate:g}": accepted_gain(after, before, rate, SEED).as_json() for rate in RATES},
        }
    return found


def quality_gate(system: InProcess, analyzer: FaceAnalyzer, photos: Mapping[Path, str]) -> dict[str, Any]:
    """Which photos' faces registration would refuse, and the error rates with and without them, at one threshold."""
    nearest, kept, reasons = Nearest(central=True), list[bool](), Counter[str]()
    names, embeddings = [], []
    for photo, person in photos.items():
        analysis = analyzer.analyze(photo.read_bytes(), Embed.NONE)
        embedding = system.embed(photo)
        if embedding is None or not analysis.faces:
            reasons["no face"] += 1
            continue
        face = analysis.faces[nearest.choose(analysis.faces, analysis.width, analysis.height)]
        reasons.update(finding.reason.value for finding in face.quality.findings)
        kept.append(face.quality.is_acceptable)
        names.append(person)
        embeddings.append(embedding)
    people, good = np.unique(names, return_inverse=True)[1], np.array(kept)
    cosines = np.stack(embeddings) @ np.stack(embeddings).T
    upper = np.triu(np.ones(cosines.shape, dtype=bool), 1)
    mates = (people[:, None] == people[None, :]) & upper
    strangers = ~(people[:, None] == people[None, :]) & upper
    threshold = float(np.quantile(cosines[strangers], 1 - 1e-3))
    both = good[:, None] & good[None, :]

    def rates(which: "np.ndarray[Any, np.dtype[np.bool_]]") -> dict[str, Any]:
        own, others = cosines[mates & which], cosines[strangers & which]
        return {
            "pairs_of_one_person": len(own),
            "fnmr": float((own < threshold).mean()),
            "pairs_of_strangers": len(others),
            "fmr": float((others >= threshold).mean()),
        }

    return {
        "photos": len(photos),
        "refused": int((~good).sum()),
        "reasons": dict(reasons.most_common()),
        "threshold_at_fmr_1e-3": threshold,
        "all": rates(upper),
        "both_accepted": rates(both),
        "one_or_both_refused": rates(~both),
    }


def _share_above(counts: "np.ndarray[tuple[int], np.dtype[np.float64]]", cosine: float) -> float:
    """The share of the pairs that reach a cosine."""
    return float(counts[COSINE_BINS[:-1] >= cosine].sum() / counts.sum())


def out_of_sample(system: InProcess, people: Sequence[Person], advance: Callable[[], None]) -> dict[str, Any]:
    """Calibrated on one half of the people, looked at on the other: single comparisons, and searches of galleries."""
    order = np.random.default_rng(SEED).permutation(len(people))
    halves = [[people[index] for index in sorted(order[part::2])] for part in (0, 1)]
    measured = measure_strangers(*_embedded(system, halves[0]))
    calibration = Calibration(measured.points, "the other half of the people", measured.intervals)
    counts = count_strangers(*_embedded(system, halves[1]))
    stated = [
        {
            "stated": rate,
            "threshold": calibration.similarity_at(rate),
            "observed": _share_above(counts, calibration.similarity_at(rate)),
        }
        for rate in RATES
    ]
    plans = plan_galleries(halves[1], (100, 500, 900), seed=SEED, searches=2000, repeats=5, is_cheap=True)
    searches, _ = evaluate_galleries(system, plans, calibration, advance, seed=SEED)
    return {
        "people": [len(half) for half in halves],
        "points": [list(point) for point in measured.points],
        "intervals": [list(interval) for interval in measured.intervals],
        "comparisons": stated,
        "searches": [{"gallery": row["gallery"], "rates": row["stated_false_match_rate"]} for row in searches],
    }


def _embedded(
    system: InProcess, people: Sequence[Person]
) -> tuple[list[Embedding], "np.ndarray[Any, np.dtype[np.int64]]"]:
    names, embeddings = [], []
    for person in people:
        for photo in person.photos:
            embedding = system.embed(photo)
            if embedding is not None:
                names.append(person.name)
                embeddings.append(embedding)
    return embeddings, np.unique(names, return_inverse=True)[1].astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("photos", "pairs", "pack", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    pairs, people = read_pairs(given.photos, given.pairs), read_people(given.photos)
    seen: dict[str, Seen] = {}
    result: dict[str, Any] = {**describe_run(), "data": "LFW, folds 1 to 5", "pack": given.pack.name, "ways": {}}
    with tempfile.TemporaryDirectory() as directory:
        for providers, ending in (("auto", ""), ("cpu", ""), ("auto", "+mirror"), ("cpu", "+mirror")):
            pack = f"{given.pack}{ending}"
            with Answers(
                given.data / f"{providers}{ending}.jsonl", {"way": providers, "pack": pack, "layout": 2}, keep=True
            ) as answers:
                analyzer = load(pack, providers, directory)
                system = InProcess(analyzer, answers, central=True)
                info = system.describe()
                runtime = f"{info['providers'][0].removesuffix('ExecutionProvider')}, {info['precision']}"
                name = f"Vultus{', mirrored' if ending else ''}, {runtime}"
                calibration = system.calibration
                result["ways"][name], seen[name] = verify(system, pairs, calibration, name)
                if providers == "auto" and not ending:
                    result["quality_gate"] = quality_gate(system, analyzer, photos_of(pairs))
                    quiet = lambda: None  # noqa: E731
                    plans = plan_galleries(people, GALLERIES, seed=SEED, searches=1500, repeats=5, is_cheap=True)
                    result["galleries"], _ = evaluate_galleries(system, plans, calibration, quiet, seed=SEED)
                    result["out_of_sample"] = out_of_sample(system, people, quiet)
        with Answers(
            given.data / "reference.jsonl", {"way": "reference", "pack": str(given.pack), "layout": 2}, keep=True
        ) as answers:
            reference = Reference(given.pack, answers, directory)
            result["ways"]["plain insightface, CPU"], plain = verify(reference, pairs, calibration, "reference")
        result["gain_over_plain_insightface"] = gains(pairs, plain, seen)
    text = json.dumps(result, indent=1)
    if given.out:
        given.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
