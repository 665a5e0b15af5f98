"""Attack a temporary server in every way of this package, and state what was reached.

    make prove-hostile
    python -m benchmarks.hostile [--only PARTS] [--out [FILE]]

- `matrix`: every operation, called by every kind of caller with the ids of another tenant
- `credentials`: altered tokens, API keys and signatures
- `photos`: mutated photos in worker processes, and over HTTP
- `neighbors`: how much slower one tenant becomes while another attacks
- `draining`: answers cut off when a server of two workers is stopped under load

Exits with 1 if a goal is missed. With `--only`, parts that were not run keep their figures in the result file.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.ml.synthetic.pack import write_synthetic_pack
from benchmarks.hostile.credentials import Forger
from benchmarks.hostile.draining import prove_draining
from benchmarks.hostile.matrix import Matrix
from benchmarks.hostile.neighbors import prove_neighbors
from benchmarks.hostile.photo_routes import PhotoRoutes
from benchmarks.hostile.photos import prove_photos
from benchmarks.hostile.protocol_matrix import ProtocolMatrix
from benchmarks.hostile.victim import Victim
from benchmarks.machine import describe_run
from benchmarks.serving import serving
from tests.schema.callers import Stage

RESULT = Path(__file__).parents[1] / "results" / "hostile.json"
SECRET = "a secret of this proof only, 32 bytes or more"
OPERATOR_TOKEN, METRICS_TOKEN = f"the operator's token: {SECRET}", f"the metrics' token: {SECRET}"
_SETTINGS = {
    "VULTUS_SECRET_KEY": SECRET,
    "VULTUS_OPERATOR_TOKEN": OPERATOR_TOKEN,
    "VULTUS_METRICS_TOKEN": METRICS_TOKEN,
    "VULTUS_PUBLIC_RATE": "1000000/minute",
    "VULTUS_ALBUM_WORKER": "false",  # it would change rows that no caller may change
}


@contextmanager
def _stage() -> Iterator[tuple[Stage, str]]:
    with serving(workers=1, **_SETTINGS) as (api, database):
        base = api.removesuffix("/api/v1")
        yield Stage(base, operator_token=OPERATOR_TOKEN, metrics_token=METRICS_TOKEN), database


def _matrix() -> dict[str, Any]:
    with _stage() as (stage, database):
        victim = Victim(stage, database, operator_token=OPERATOR_TOKEN)
        signed = ProtocolMatrix(stage, victim).check()
        matrix = Matrix(stage, victim)
        native = matrix.check(matrix.cells())
    return {
        "what": "every operation, called by every kind of caller with the ids and names of another tenant",
        "native": native.describe(),
        "rekognition": signed.describe(),
        "goals": [*native.goals("matrix"), *signed.goals("Rekognition matrix")],
    }


def _credentials() -> dict[str, Any]:
    with _stage() as (stage, database):
        other = Victim(stage, database, operator_token=OPERATOR_TOKEN).tokens["access_token"]
        forger = Forger(stage.base, stage, secret=SECRET.encode(), email=stage.email, other_token=other)
        return forger.try_all().describe()


def _photos() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        analyzed = prove_photos(write_synthetic_pack(Path(directory)).resolve(), per_format=250)
    with _stage() as (stage, _):
        sent = PhotoRoutes(stage).prove(per_format=40)
    return {"analyzed": analyzed, "sent": sent, "goals": [*analyzed.pop("goals"), *sent.pop("goals")]}


def _neighbors() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        return prove_neighbors(Path(directory), rounds=3, phase_s=3)


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "matrix": _matrix,
    "credentials": _credentials,
    "photos": _photos,
    "neighbors": _neighbors,
    "draining": lambda: prove_draining(times=5),
}


def main() -> None:
    """Run the parts, print JSON and write it."""
    parser = argparse.ArgumentParser(description="Attack a temporary server and state what was reached.")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma-separated")
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := set(names) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(unknown)}; use {', '.join(PARTS)}")
    kept = json.loads(arguments.out.read_text())["parts"] if arguments.out and arguments.out.exists() else {}
    run = describe_run()
    parts = {name: run | PARTS[name]() if name in names else kept[name] for name in PARTS if name in {*names, *kept}}
    goals = [goal for part in parts.values() for goal in part["goals"]]
    result = {"what": "attacks on a server with the synthetic pack", **run, "parts": parts, "goals": goals}
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")
    missed = [goal for goal in goals if not goal["held"]]
    print(*(f"missed: {goal['name']}: {goal['measured']}" for goal in missed), sep="\n", file=sys.stderr)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
