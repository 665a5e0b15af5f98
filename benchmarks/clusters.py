"""Measure clusters of unknown faces: accuracy, promises and speed, beside other methods.

    make bench-clusters
    python -m benchmarks.clusters --photos DIR --pack DIR [--stored FILE] [--only PART ...] [--out FILE]

Parts; with --only, the other parts of the result file stay:

- methods: BCubed F and the most strangers in one cluster by threshold, of photos as they are and with a fifth altered
- orders: ten random orders of arrival, before and after misplaced faces were moved, and the number of people
- promises: two faces of one photo (mosaics), and 1,000 random "not this person" after saving and loading
- speed: additions to 100,000 and 1,000,000 faces on one core

The threshold in use comes from the pack's calibration. Embeddings of real people are kept in --stored: delete them
afterwards.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import UUID

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from app.matcher.clustering.online import OnlineClusters
from app.matcher.clustering.threshold import FALSE_MATCH_RATE, pick_threshold
from benchmarks.cluster_faces import ALTERATIONS, ALTERED_SHARE, Faces, embed_faces
from benchmarks.cluster_methods import (
    METHODS,
    Labels,
    cluster_online,
    cluster_online_and_move,
    rate,
    read_labels,
    to_face,
)
from benchmarks.cluster_speed import Crowd, measure
from benchmarks.goals import at_least, at_most
from benchmarks.inference_providers import find_pack
from benchmarks.machine import describe_run

STORED = Path(tempfile.gettempdir()) / "vultus-clusters" / "lfw.npz"
THRESHOLDS = (0.30, 0.33, 0.36, 0.38, 0.40, 0.42, 0.44, 0.46, 0.48, 0.50, 0.53, 0.56, 0.60)
LOW, HIGH = 0.40, 0.56
ORDERS, REFUSALS = 10, 1_000
PEOPLE = (130, 500, 1_000, 2_086)
SPEEDS = {100_000: 20.0, 1_000_000: 60.0}
PARTS = ("methods", "orders", "promises", "speed")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure clusters of unknown faces.")
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder a person")
    parser.add_argument("--pack", required=True, help="a model pack's directory")
    parser.add_argument("--stored", type=Path, default=STORED, help="where embeddings are kept")
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    threshold = round(pick_threshold(find_pack(arguments.pack).calibration), 4)
    sets = embed_faces(arguments.photos, Path(arguments.pack), arguments.stored)
    old = json.loads(arguments.out.read_text()) if arguments.only and arguments.out and arguments.out.exists() else {}
    result: dict[str, Any] = {
        "what": "clusters of unknown faces by average linkage, face by face",
        "pack": Path(arguments.pack).name,
        "photos": f"LFW, {len(sets['none'])} faces of {len(np.unique(sets['none'].people))} people",
        "false_match_rate": FALSE_MATCH_RATE,
        "threshold": threshold,
    }
    measures = {"methods": measure_methods, "orders": measure_orders, "promises": check_promises, "speed": time_sizes}
    for part in PARTS:
        if arguments.only is None or part in arguments.only:
            result[part] = {**describe_run(), **measures[part](sets, threshold)}
        elif part in old:
            result[part] = old[part]
    result["goals"] = list_goals(result)
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")
        if "methods" in result:
            draw(result, arguments.out.with_suffix(".png"))


def shuffle(faces: Faces, seed: int) -> Faces:
    return faces.select(np.random.default_rng(seed).permutation(len(faces)))


def combine(first: Faces, second: Faces) -> Faces:
    names = ("embeddings", "people", "photos", "reliable")
    return Faces(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in names))


def measure_methods(sets: dict[str, Faces], threshold: float) -> dict[str, Any]:
    """Rate every method at every threshold, for photos as they are ("none") and with a fifth altered."""
    rows: dict[str, Any] = {}
    for alteration in ("none", *ALTERATIONS):
        faces = sets["none"]
        if alteration != "none":
            is_altered = faces.photos % ALTERED_SHARE == 0
            faces = combine(faces.select(~is_altered), sets[alteration])
        faces = shuffle(faces, 0)
        rows[alteration] = {"faces": len(faces), "reliable": int(faces.reliable.sum())}
        for name, method in METHODS.items():
            if alteration == "none" and "quality" in name:
                continue
            rows[alteration][name] = {
                str(one): rate(method(faces, one), faces.people) for one in sorted({*THRESHOLDS, threshold})
            }
            best = max(rows[alteration][name].values(), key=lambda row: row["f"])
            print(alteration, name, best, flush=True)
    return {"sets": rows}


def measure_orders(sets: dict[str, Faces], threshold: float) -> dict[str, Any]:
    """Rate ten orders of arrival at the threshold, and the mean F of three orders by number of people."""
    orders, before = [], []
    for seed in range(ORDERS):
        faces = shuffle(sets["none"], seed)
        before.append(rate(cluster_online(faces, threshold), faces.people))
        orders.append(rate(cluster_online_and_move(faces, threshold), faces.people))
    chosen = np.random.default_rng(1).permutation(int(sets["none"].people.max()) + 1)
    by_people: dict[str, Any] = {}
    for count in PEOPLE:
        faces = sets["none"].select(np.isin(sets["none"].people, chosen[:count]))
        means = {}
        for one in sorted({*THRESHOLDS, threshold}):
            drawn = [shuffle(faces, seed) for seed in range(3)]
            scores = [rate(cluster_online(some, one), some.people)["f"] for some in drawn]
            means[str(one)] = round(float(np.mean(scores)), 4)
        by_people[str(count)] = {"faces": len(faces), "f": means}
    return {"orders": orders, "orders_before_moving": before, "people": by_people}


def check_promises(sets: dict[str, Faces], threshold: float) -> dict[str, Any]:
    faces = shuffle(combine(sets["none"], sets["mosaics"]), 0)
    mosaics = {}
    for name, method in METHODS.items():
        labels = [method(faces, one) for one in sorted({*THRESHOLDS, threshold})]
        mosaics[name] = max(_count_pairs_of_photos(one, faces.photos) for one in labels)
    return {
        "mosaics": {
            "photos": len(np.unique(sets["mosaics"].photos)),
            "faces": len(sets["mosaics"]),
            "pairs_of_one_photo_in_a_cluster": mosaics,
        },
        "not_this_person": _check_refusals(shuffle(sets["none"], 1), threshold),
    }


def _count_pairs_of_photos(labels: Labels, photos: Labels) -> int:
    """Return the largest number of pairs of faces that share photo and cluster."""
    _, counts = np.unique(np.stack([labels, photos]), axis=1, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


def _check_refusals(faces: Faces, threshold: float) -> dict[str, int]:
    """Say "not this person" of random faces, save and load, add every other face again, and count what is broken."""
    rng = np.random.default_rng(2)
    clusters = OnlineClusters(threshold)
    for row in range(len(faces)):
        clusters.add(to_face(faces, row))
    pairs: list[tuple[UUID, UUID]] = []
    for row in rng.permutation(len(faces)).tolist():
        face = to_face(faces, row)
        others = sorted(set(clusters.state(_find(clusters, face.id)).faces) - {face.id})
        if others and len(pairs) < REFUSALS:
            pairs.append((face.id, others[int(rng.integers(len(others)))]))
            clusters.remove(face)
            clusters.forbid(*pairs[-1])
            clusters.add(face)
    broken = sum(clusters.find_cluster(first) == clusters.find_cluster(second) for first, second in pairs)
    loaded = OnlineClusters(threshold)
    loaded.load(clusters.state(one) for one in {_find(clusters, UUID(int=row + 1)) for row in range(len(faces))})
    for pair in pairs:
        loaded.forbid(*pair)
    for row in rng.permutation(len(faces)).tolist()[::2]:
        loaded.remove(to_face(faces, row))
        loaded.add(to_face(faces, row))
    broken_later = sum(loaded.find_cluster(first) == loaded.find_cluster(second) for first, second in pairs)
    rated = rate(read_labels(loaded, len(faces)), faces.people)
    return {"said": len(pairs), "broken_at_once": broken, "broken_after_loading": broken_later, **rated}  # type: ignore[dict-item]


def _find(clusters: OnlineClusters, face_id: UUID) -> UUID:
    found = clusters.find_cluster(face_id)
    assert found is not None
    return found


def time_sizes(sets: dict[str, Faces], threshold: float) -> dict[str, Any]:
    """Time additions, each size in a process of its own, so that memory counts from nothing."""
    real = sets["none"].embeddings
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:

        def time_all(are_alone: bool) -> dict[str, Any]:
            return {
                str(faces): pool.submit(measure, Crowd(real), faces, threshold, are_alone=are_alone).result()
                for faces in SPEEDS
            }

        return {"sizes": time_all(are_alone=False), "each_face_alone": time_all(are_alone=True)}


def list_goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    goals = []
    if "orders" in result:
        orders = result["orders"]["orders"]
        scores = [row["f"] for row in orders]
        precision = min(row["pair_precision"] for row in orders)
        goals += [
            at_least("BCubed F, mean of ten orders of arrival", 0.985, round(float(np.mean(scores)), 4), "share"),
            at_least("BCubed F, the lowest of ten orders of arrival", 0.985, min(scores), "share"),
            at_least("pairwise precision, the lowest of ten orders", 0.99, precision, "share"),
            at_most("BCubed F, range of ten orders", 0.005, round(max(scores) - min(scores), 4), "share"),
        ]
    for alteration, row in result.get("methods", {}).get("sets", {}).items():
        rated = {one: found["strangers"] for one, found in row["online average linkage"].items()}
        strangers = max(count for one, count in rated.items() if LOW <= float(one) <= HIGH)
        which = "photos as they are" if alteration == "none" else f"a fifth altered: {alteration}"
        title = f"strangers in one cluster at thresholds {LOW:.2f} to {HIGH:.2f}, {which}"
        goals.append(at_most(title, 10, strangers, "faces"))
    if "promises" in result:
        found = result["promises"]
        pairs = found["mosaics"]["pairs_of_one_photo_in_a_cluster"]["online average linkage"]
        refused = found["not_this_person"]
        broken = refused["broken_at_once"] + refused["broken_after_loading"]
        goals.append(at_most("mosaics: pairs of faces of one photo in one cluster", 0, pairs, "pairs"))
        goals.append(at_most(f"broken of {refused['said']} random refusals", 0, broken, "refusals"))
    for faces, row in result.get("speed", {}).get("sizes", {}).items():
        goals.append(at_most(f"adding a face to {int(faces):,}, p95", SPEEDS[int(faces)], row["p95_ms"], "ms"))
    return goals


def draw(result: dict[str, Any], path: Path) -> None:
    """Plot F and the most strangers of one cluster over the threshold, unaltered and for the worst alteration."""
    titles = {"none": "photos as they are", list(ALTERATIONS)[-1]: f"a fifth altered: {list(ALTERATIONS)[-1]}"}
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), dpi=110, sharex=True, sharey="row")
    for column, (alteration, title) in enumerate(titles.items()):
        row = result["methods"]["sets"][alteration]
        for name in METHODS:
            points = sorted((float(one), found) for one, found in row.get(name, {}).items())
            style = {"color": "black", "linewidth": 2} if name == "online average linkage" else {}
            for index, key in enumerate(("f", "strangers")):
                values = [found[key] for _, found in points]
                axes[index, column].plot([one for one, _ in points], values, label=name if points else None, **style)
        axes[0, column].set_title(title)
        axes[1, column].set_yscale("symlog", linthresh=1)
        axes[1, column].axhline(10, color="gray", linestyle=":")
        axes[1, column].set_xlabel("threshold, cosine")
        for axis in axes[:, column]:
            axis.axvline(result["threshold"], color="gray", linestyle="--", linewidth=0.8)
    axes[0, 0].set_ylabel("BCubed F")
    axes[1, 0].set_ylabel("strangers in one cluster, at most")
    axes[0, 1].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
