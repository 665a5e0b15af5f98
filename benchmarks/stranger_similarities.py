"""How similar strangers are to one another: the cosines that one pair in 1e2 to 1e6 of them reaches, by recogniser.

Every pair of photos of two different people. From these come the calibrations that Vultus brings along
(`app/ml/calibration.py`).

    python -m benchmarks.stranger_similarities --photos DIR --pack DIR [--pack DIR+mirror] [--out FILE]
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.face_embeddings import Embeddings, extract_faces, unit
from benchmarks.machine import describe_run

RATES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
BINS = np.linspace(-1, 1, 20_001)


def tail(embeddings: Embeddings, people: "np.ndarray[Any, Any]") -> dict[str, Any]:
    """The cosine that each share of the pairs of different people reaches."""
    counts = np.zeros(len(BINS) - 1, dtype=np.int64)
    for start in range(0, len(embeddings), 500):
        cosines = embeddings[start : start + 500] @ embeddings.T
        row, column = np.meshgrid(np.arange(start, start + len(cosines)), np.arange(len(embeddings)), indexing="ij")
        strangers = (people[row] != people[column]) & (row < column)
        counts += np.histogram(cosines[strangers], BINS)[0]
    from_above = np.cumsum(counts[::-1])[::-1]
    pairs = int(counts.sum())
    cosines_at = {}
    for rate in RATES:
        if pairs * rate < 5:
            continue
        cosines_at[f"{rate:.0e}"] = round(float(BINS[int(np.argmax(from_above <= pairs * rate))]), 4)
    return {"photos": len(embeddings), "people": len(set(people.tolist())), "pairs": pairs, "cosines": cosines_at}


def drawn(people: int, takes: int) -> tuple[Embeddings, "np.ndarray[Any, Any]"]:
    from app.main import build_analyzer
    from app.ml.analysis import Embed
    from app.settings import Settings
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
    given = parser.parse_args()
    result: dict[str, Any] = {**describe_run(), "drawn": tail(*drawn(700, 2))}
    for pack in given.pack if given.photos else ():
        with tempfile.TemporaryDirectory() as kept:
            faces = extract_faces(given.photos, pack, Path(kept) / "faces.npz", print)
        result[pack.name] = tail(unit(faces.embeddings), faces.people)
    text = json.dumps(result, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
