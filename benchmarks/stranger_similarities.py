"""Measure how similar different people are: the cosines that 1 in 1e1 to 1e6 impostor pairs reaches, by recognizer.

The method is that of `vultus calibrate`: two people count as one pair, regardless of the number of their photos. The
built-in calibrations (`app/ml/calibration.py`) come from this script.

    python -m benchmarks.stranger_similarities --photos DIR --pack DIR [--pack DIR+mirror] [--out FILE]
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from app.matcher.impostors import measure_impostors
from benchmarks.face_embeddings import Embeddings, extract_faces, unit
from benchmarks.machine import describe_run


def tail(embeddings: Embeddings, people: "np.ndarray[Any, Any]") -> dict[str, Any]:
    """Return the cosine that each share of the impostor pairs reaches."""
    measured = measure_impostors(list(embeddings), np.unique(people, return_inverse=True)[1])
    return {
        "photos": len(embeddings),
        "people": measured.people,
        "pairs_of_people": measured.pairs,
        "cosines": {f"{rate:.0e}": cosine for rate, cosine in measured.points},
        "intervals": {
            f"{rate:.0e}": [float(f"{bound:.3g}") for bound in interval]
            for (rate, _), interval in zip(measured.points, measured.intervals, strict=True)
        },
    }


def drawn(people: int, takes: int) -> tuple[Embeddings, "np.ndarray[Any, Any]"]:
    from app.ml.analysis import Embed
    from app.settings import Settings
    from app.wiring.analyzer import build_analyzer
    from tests.pictures import photo

    with tempfile.TemporaryDirectory() as directory:
        analyzer = build_analyzer(Settings.model_validate({"model_pack": "synthetic", "data_dir": directory}))
        found, names = [], []
        for seed in range(people):
            for take in range(1, takes + 1):
                analysis = analyzer.analyze(photo(seed, take), Embed.LARGEST)
                if analysis.faces:
                    found.append(analysis.embeddings[0])
                    names.append(seed)
    return unit(np.stack(found)), np.array(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--pack", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {**describe_run(), "drawn": tail(*drawn(1500, 1))}
    for pack in arguments.pack if arguments.photos else ():
        with tempfile.TemporaryDirectory() as directory:
            faces = extract_faces(arguments.photos, pack, Path(directory) / "faces.npz", print)
        result[pack.name] = tail(unit(faces.embeddings), faces.people)
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
