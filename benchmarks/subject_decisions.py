"""Measure the effect of deciding by the whole subject, on real people with several photos and with one bad photo.

    python -m benchmarks.subject_decisions --photos DIR --pack DIR [--out FILE]

For each number of templates, the script takes every person with at least one more photo, which is the probe. The
threshold is the similarity that 1 in 1,000 impostor pairs of these photos reaches. `rejected` is the share of probes
below it. Then a photo of another person replaces one template, and a second photo of that person is the probe:
`accepted` is the share of these probes that match.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from app.matcher.subject_similarity import common_embedding
from benchmarks.face_embeddings import Embeddings, RealFaces, extract_faces
from benchmarks.machine import describe_run

STRANGER_PAIRS = 400_000


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(
        description="Compare decisions by the best template with decisions by the whole subject."
    )
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        faces = extract_faces(arguments.photos, arguments.pack, Path(directory) / "faces.npz", print)
    threshold = _threshold(faces)
    result = {
        "what": "decisions by the best template, and by the best template and the whole subject",
        **describe_run(),
        "threshold": round(threshold, 3),
        "templates": {str(count): _measure(faces, count, threshold) for count in (2, 3, 5, 8)},
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def _threshold(faces: RealFaces) -> float:
    first, second = np.random.default_rng(0).integers(len(faces.people), size=(2, STRANGER_PAIRS))
    strangers = faces.people[first] != faces.people[second]
    cosines = (faces.embeddings[first[strangers]] * faces.embeddings[second[strangers]]).sum(axis=1)
    return float(np.quantile(cosines, 0.999))


def _measure(faces: RealFaces, count: int, threshold: float) -> dict[str, Any]:
    rng = np.random.default_rng(count)
    photos = {person: np.flatnonzero(faces.people == person) for person in np.unique(faces.people)}
    several = [person for person, rows in photos.items() if len(rows) >= 2]
    people = [person for person in several if len(photos[person]) > count]
    genuine: list[tuple[float, float]] = []
    genuine_spoiled: list[tuple[float, float]] = []
    impostor_spoiled: list[tuple[float, float]] = []
    for person in people:
        probe, *templates = rng.permutation(photos[person])[: count + 1]
        genuine.append(_similarities(faces.embeddings[probe], faces.embeddings[templates]))
        stranger = rng.choice([other for other in several if other != person])
        impostor_template, impostor_probe = photos[stranger][:2]
        spoiled = faces.embeddings[[*templates[1:], impostor_template]]
        genuine_spoiled.append(_similarities(faces.embeddings[probe], spoiled))
        impostor_spoiled.append(_similarities(faces.embeddings[impostor_probe], spoiled))
    return {
        "people": len(people),
        "genuine rejected": _rates(genuine, threshold, passing=False),
        "genuine rejected, one bad template": _rates(genuine_spoiled, threshold, passing=False),
        "impostor accepted, one bad template": _rates(impostor_spoiled, threshold, passing=True),
    }


def _similarities(probe: Embeddings, templates: Embeddings) -> tuple[float, float]:
    return float((templates @ probe).max()), float(common_embedding(list(templates)) @ probe)


def _rates(pairs: list[tuple[float, float]], threshold: float, *, passing: bool) -> dict[str, float]:
    best, whole = np.array(pairs).T
    decisions = {
        "best template": best >= threshold,
        "best template and whole subject": np.minimum(best, whole) >= threshold,
    }
    return {name: round(float((passed == passing).mean()), 4) for name, passed in decisions.items()}


if __name__ == "__main__":
    main()
