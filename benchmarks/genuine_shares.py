"""Tell how many pairs of photos of one person reach the similarity that a stated rate needs among N faces.

    python -m benchmarks.genuine_shares --photos DIR --pack DIR [--stored FILE] [--out [FILE]]

A search among N faces at the rate r needs the similarity that pairs of strangers reach at a rate of r / N. Each photo
of LFW is a probe for the other photos of its person; shares are means over photos, as recall is a mean over selfies. No
album takes part: this is what the recognizer can tell. Embeddings of real people are kept in --stored: delete them
afterwards.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cluster_faces import Faces, embed_faces
from benchmarks.clusters import STORED
from benchmarks.inference_providers import find_pack
from benchmarks.machine import describe_run

RESULT = Path(__file__).parent / "results" / "genuine_shares.json"
RATE = 0.001
SIZES = (1, 100, 500, 2_031, 10_000, 100_000)


def share_reaching(faces: Faces, threshold: float) -> float:
    """Return the mean over photos of the share of their person's other photos at or above a similarity."""
    similarities = faces.embeddings @ faces.embeddings.T
    is_same = faces.people[:, None] == faces.people[None, :]
    np.fill_diagonal(is_same, val=False)
    others = is_same.sum(axis=1)
    reaching = (is_same & (similarities >= threshold)).sum(axis=1)
    return float((reaching[others > 0] / others[others > 0]).mean())


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder a person")
    parser.add_argument("--pack", required=True, help="a model pack's directory")
    parser.add_argument("--stored", type=Path, default=STORED, help="where embeddings are kept")
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    calibration = find_pack(arguments.pack).calibration
    faces = embed_faces(arguments.photos, Path(arguments.pack), arguments.stored)["none"]
    rows: dict[str, Any] = {}
    for size in SIZES:
        threshold = calibration.similarity_at(RATE / size)
        rows[str(size)] = {"similarity": round(threshold, 4), "share": round(share_reaching(faces, threshold), 4)}
    result = {
        "what": f"pairs of one person that reach the similarity of a search among N faces at the rate {RATE}",
        **describe_run(),
        "pack": Path(arguments.pack).name,
        "photos": len(faces),
        "by_faces_searched": rows,
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
