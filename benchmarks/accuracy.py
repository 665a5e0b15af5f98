"""Measure accuracy on real photos: verification, identification and calibration, compared with plain insightface.

    python -m benchmarks.accuracy --photos DIR --pairs FILE --pack DIR --data DIR [--out FILE]

The script also reports which photos the quality gate of registration would refuse, and the error rates with and without
them. Every configuration embeds every photo once and stores the result in --data, so that an interrupted run can
continue. These are embeddings of real people: delete them afterwards.

The face nearest to the center of a photo counts. A photo without a face makes each of its pairs wrong. Calibrations are
fitted to one half of the people and tested on the other half.
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
from app.evaluation.all_pairs import AllPairs
from app.evaluation.answers import Answers
from app.evaluation.datasets import Pair, Person, read_pairs, read_people
from app.evaluation.identification import evaluate_galleries, plan_galleries
from app.evaluation.systems.in_process import FaceSelector, InProcess, pack_embedding, unpack_embedding
from app.evaluation.systems.photos import identity_of
from app.evaluation.verification import accuracy_gain, evaluate_all_pairs, evaluate_pairs
from app.matcher.impostors import COSINE_BINS, count_impostor_pairs, measure_impostors
from app.ml.analysis import Embed, FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.detection_accuracy import build_reference
from benchmarks.goals import at_least, at_most
from benchmarks.machine import describe_run
from benchmarks.paired_gain import accepted_gain

SEED = 1
GALLERIES = (100, 500, 1000, 2000)
RATES = (1e-2, 1e-3, 1e-4)


class Reference:
    """Plain insightface on ONNX Runtime's CPU provider: inputs of 640x640 and 128x128, its own alignment."""

    def __init__(self, pack: Path, answers: Answers, directory: str) -> None:
        self._find_faces = build_reference(str(pack), directory)
        self._answers = answers

    def embed(self, photo: Path) -> Embedding | None:
        """Embed the central face of a photo, like `Embeds`; None without a face."""

        def compute() -> str | None:
            embedding = self._find_faces(photo).embedding
            return None if embedding is None else pack_embedding(embedding)

        packed = self._answers.get_or_compute(f"one {identity_of(photo)}", compute)
        return None if packed is None else unpack_embedding(packed)


def load(pack: str, providers: str, directory: str) -> FaceAnalyzer:
    settings = {"model_pack": pack, "providers": providers, "data_dir": directory, "inference_threads": 1}
    return build_analyzer(Settings.model_validate(settings))


def open_answers(path: Path, configuration: str, pack: str) -> Answers:
    """Open the stored embeddings of one configuration; they are kept for the next run."""
    return Answers(path, {"configuration": configuration, "pack": pack, "layout": 2}, keep=True)


def photos_of(pairs: Sequence[Pair]) -> dict[Path, str]:
    """Return the person shown in each photo of the pairs."""
    photos: dict[Path, str] = {}
    for pair in pairs:
        photos |= {pair.first: pair.first_person, pair.second: pair.second_person}
    return photos


@dataclass(frozen=True, slots=True)
class Output:
    """The output of one configuration: an embedding per photo and a similarity per pair."""

    embeddings: list[Embedding | None]
    similarities: "np.ndarray[Any, np.dtype[np.float64]]"


def verify(system: Any, pairs: Sequence[Pair], calibration: Calibration, name: str) -> tuple[dict[str, Any], Output]:
    """Return the error rates of one configuration, and its embeddings and similarities."""
    photos = photos_of(pairs)
    counted = iter(range(1, len(photos) + 1))

    def advance() -> None:
        done = next(counted)
        if done % 1000 == 0:
            print(f"{name}: {done} of {len(photos)} photos", flush=True)

    whole = evaluate_all_pairs(system, photos, calibration, advance, seed=SEED)
    embeddings = {photo: system.embed(photo) for photo in photos}

    def similarity(pair: Pair) -> float:
        first, second = embeddings[pair.first], embeddings[pair.second]
        return float("-inf") if first is None or second is None else float(first @ second)

    similarities = np.array([similarity(pair) for pair in pairs])
    found, _ = evaluate_pairs(pairs, similarities, {}, seed=SEED)
    return {
        "accuracy": found["accuracy"],
        "pairs_without_a_face": found["pairs_without_a_face"],
        "photos": whole["photos"],
        "photos_without_a_face": whole["photos_without_a_face"],
        "impostors": whole["impostors"],
        "tar_at_far": whole["tar_at_far"],
    }, Output(list(embeddings.values()), similarities)


def gains(pairs: Sequence[Pair], reference: Output, configurations: Mapping[str, Output]) -> dict[str, Any]:
    """Return the gain of each configuration over the reference on the same pairs, with 95% intervals."""
    photos = photos_of(pairs)
    names, people = np.unique(list(photos.values()), return_inverse=True)

    def every_pair(output: Output) -> AllPairs:
        return AllPairs(output.embeddings, people.astype(np.int64), len(names))

    before = every_pair(reference)
    found = {}
    for name, output in configurations.items():
        after = every_pair(output)
        found[name] = {
            "accuracy": accuracy_gain(pairs, reference.similarities, output.similarities, seed=SEED).as_json(),
            "tar_at_far": {f"{rate:g}": accepted_gain(after, before, rate, SEED).as_json() for rate in RATES},
        }
    return found


def quality_gate(system: InProcess, analyzer: FaceAnalyzer, photos: Mapping[Path, str]) -> dict[str, Any]:
    """Return the refusals of the quality gate, and the error rates with and without the refused photos.

    All rates are at one threshold: the similarity that 1 in 1,000 impostor pairs reaches.
    """
    nearest, accepted, reasons = FaceSelector(central=True), list[bool](), Counter[str]()
    names, embeddings = list[str](), list[Embedding]()
    for photo, person in photos.items():
        analysis = analyzer.analyze(photo.read_bytes(), Embed.NONE)
        embedding = system.embed(photo)
        if embedding is None or not analysis.faces:
            reasons["no face"] += 1
            continue
        face = analysis.faces[nearest.choose(analysis.faces, analysis.width, analysis.height)]
        reasons.update(finding.reason.value for finding in face.quality.findings)
        accepted.append(face.quality.is_acceptable)
        names.append(person)
        embeddings.append(embedding)
    return {
        "photos": len(photos),
        "refused": accepted.count(False),
        "reasons": dict(reasons.most_common()),
        **_rates_by_acceptance(names, embeddings, np.array(accepted)),
    }


def _rates_by_acceptance(
    names: Sequence[str], embeddings: Sequence[Embedding], accepted: "np.ndarray[Any, np.dtype[np.bool_]]"
) -> dict[str, Any]:
    people = np.unique(names, return_inverse=True)[1]
    cosines = np.stack(embeddings) @ np.stack(embeddings).T
    upper = np.triu(np.ones(cosines.shape, dtype=bool), 1)
    mates = (people[:, None] == people[None, :]) & upper
    strangers = ~(people[:, None] == people[None, :]) & upper
    threshold = float(np.quantile(cosines[strangers], 1 - 1e-3))
    both = accepted[:, None] & accepted[None, :]

    def rates(which: "np.ndarray[Any, np.dtype[np.bool_]]") -> dict[str, Any]:
        genuine, impostors = cosines[mates & which], cosines[strangers & which]
        return {
            "pairs_of_one_person": len(genuine),
            "fnmr": float((genuine < threshold).mean()),
            "pairs_of_strangers": len(impostors),
            "fmr": float((impostors >= threshold).mean()),
        }

    return {
        "threshold_at_fmr_1e-3": threshold,
        "all": rates(upper),
        "both_accepted": rates(both),
        "one_or_both_refused": rates(~both),
    }


def _share_above(counts: "np.ndarray[tuple[int], np.dtype[np.float64]]", cosine: float) -> float:
    """Return the share of the pairs that reach a cosine."""
    return float(counts[COSINE_BINS[:-1] >= cosine].sum() / counts.sum())


def out_of_sample(system: InProcess, people: Sequence[Person], advance: Callable[[], None]) -> dict[str, Any]:
    """Calibrate on one half of the people, and test comparisons and gallery searches on the other half."""
    order = np.random.default_rng(SEED).permutation(len(people))
    halves = [[people[index] for index in sorted(order[part::2])] for part in (0, 1)]
    measured = measure_impostors(*_embedded(system, halves[0]))
    calibration = Calibration(measured.points, "the other half of the people", measured.intervals)
    counts = count_impostor_pairs(*_embedded(system, halves[1]))
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


def state_goals(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare the default configuration with plain insightface, and stated with observed rates."""
    name = next(iter(result["configurations"]))
    gain = result["gain_over_plain_insightface"][name]
    compared = result["out_of_sample"]["comparisons"]
    ratio = max(max(row["observed"] / row["stated"], row["stated"] / row["observed"]) for row in compared)
    return [
        at_least("verification accuracy", 0.993, result["configurations"][name]["accuracy"]["value"], "share"),
        *(
            at_least(f"TAR at FAR {far}, gain over plain insightface", 0, gain["tar_at_far"][far]["value"], "share")
            for far in ("0.001", "0.0001")
        ),
        at_most("stated against observed FMR, people not used", 2, ratio, "ratio"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("photos", "pairs", "pack", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    pairs, people = read_pairs(arguments.photos, arguments.pairs), read_people(arguments.photos)
    outputs: dict[str, Output] = {}
    result: dict[str, Any] = {**describe_run(), "data": "LFW, folds 1 to 5", "pack": arguments.pack.name}
    result["configurations"] = {}
    with tempfile.TemporaryDirectory() as directory:
        for providers, ending in (("auto", ""), ("cpu", ""), ("auto", "+mirror"), ("cpu", "+mirror")):
            pack = f"{arguments.pack}{ending}"
            with open_answers(arguments.data / f"{providers}{ending}.jsonl", providers, pack) as answers:
                analyzer = load(pack, providers, directory)
                system = InProcess(analyzer, answers, central=True)
                info = system.describe()
                runtime = f"{info['providers'][0].removesuffix('ExecutionProvider')}, {info['precision']}"
                name = f"Vultus{', mirrored' if ending else ''}, {runtime}"
                calibration = system.calibration
                result["configurations"][name], outputs[name] = verify(system, pairs, calibration, name)
                if providers == "auto" and not ending:
                    result["quality_gate"] = quality_gate(system, analyzer, photos_of(pairs))
                    no_progress = lambda: None  # noqa: E731
                    plans = plan_galleries(people, GALLERIES, seed=SEED, searches=1500, repeats=5, is_cheap=True)
                    result["galleries"], _ = evaluate_galleries(system, plans, calibration, no_progress, seed=SEED)
                    result["out_of_sample"] = out_of_sample(system, people, no_progress)
        with open_answers(arguments.data / "reference.jsonl", "reference", str(arguments.pack)) as answers:
            reference = Reference(arguments.pack, answers, directory)
            rates, plain = verify(reference, pairs, calibration, "reference")
            result["configurations"]["plain insightface, CPU"] = rates
        result["gain_over_plain_insightface"] = gains(pairs, plain, outputs)
    result["goals"] = state_goals(result)
    text = json.dumps(result, indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
