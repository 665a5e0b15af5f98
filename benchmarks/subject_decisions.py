"""What it changes that a match needs the subject as a whole: real people with several photos, and one bad photo.

    python -m benchmarks.subject_decisions --photos DIR --pack DIR [--out FILE]

For each number of templates, every person with a photo more than that: the photo left over is the probe. `refused` is
the part of them below the threshold, which is where one in a thousand pairs of strangers of these photos passes. Then
one of the templates is replaced by a stranger's photo, and another photo of that stranger is the probe: `accepted`.
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
    parser = argparse.ArgumentParser(description="Decide by the best template, and by the whole subject as well.")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        faces = extract_faces(arguments.photos, arguments.pack, Path(directory) / "faces.npz", print)
    threshold = _threshold(faces)
    result = {
        "what": "decisions by the best template, and by the best template and the subject as a whole",
        **describe_run(),
        "threshold": round(threshold, 3),
        "templates": {str(count): _measure(faces, count, threshold) for count in (2, 3, 5, 8)},
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def _threshold(faces: RealFaces) -> float:
    one, other = np.random.default_rng(0).integers(len(faces.people), size=(2, STRANGER_PAIRS))
    strangers = faces.people[one] != faces.people[other]
    cosines = (faces.embeddings[one[strangers]] * faces.embeddings[other[strangers]]).sum(axis=1)
    return float(np.quantile(cosines, 0.999))


def _measure(faces: RealFaces, count: int, threshold: float) -> dict[str, Any]:
    rng = np.random.default_rng(count)
    photos = {person: np.flatnonzero(faces.people == person) for person in np.unique(faces.people)}
    several = [person for person, own in photos.items() if len(own) >= 2]
    people = [person for person in several if len(photos[person]) > count]
    own: list[tuple[float, float]] = []
    own_spoilt: list[tuple[float, float]] = []
    stranger_spoilt: list[tuple[float, float]] = []
    for person in people:
        probe, *templates = rng.permutation(photos[person])[: count + 1]
        own.append(_similarities(faces.embeddings[probe], faces.embeddings[templates]))
        stranger = rng.choice([other for other in several if other != person])
        theirs, another = photos[stranger][:2]
        spoilt = faces.embeddings[[*templates[1:], theirs]]
        own_spoilt.append(_similarities(faces.embeddings[probe], spoilt))
        stranger_spoilt.append(_similarities(faces.embeddings[another], spoilt))
    return {
        "people": len(people),
        "own photo refused": _rates(own, threshold, passing=False),
        "own photo refused, one bad template": _rates(own_spoilt, threshold, passing=False),
        "its stranger accepted, one bad template": _rates(stranger_spoilt, threshold, passing=True),
    }


def _similarities(probe: Embeddings, templates: Embeddings) -> tuple[float, float]:
    return float((templates @ probe).max()), float(common_embedding(list(templates)) @ probe)


def _rates(pairs: list[tuple[float, float]], threshold: float, *, passing: bool) -> dict[str, float]:
    best, whole = np.array(pairs).T
    decisions = {"best template": best >= threshold, "and the whole subject": np.minimum(best, whole) >= threshold}
    return {name: round(float((passed == passing).mean()), 4) for name, passed in decisions.items()}


if __name__ == "__main__":
    main()
