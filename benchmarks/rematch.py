"""Measure how fast a newly registered person is found in an album, and compare the faces with an exact scan.

    make bench-rematch
    python -m benchmarks.rematch [--faces N]... [--data DIR] [--out [FILE]]

An album of N faces (default 100,000 and 1,000,000), four a photo and all pending, looks for a collection of 1,000
people. Ten people are registered one after the other. For each, the script times what a worker does then: search the
album for the new template, decide the faces that resemble it, and store that. A worker looks for new people every
second, which the times do not include. Everything runs through the service's login, under row-level security, with
protected templates.

Each person has 50 faces in the album with cosines from 0.25 to 0.85; some strangers resemble them too. The exact scan
compares all embeddings in this process. Faces within 0.0005 of the threshold or of another person may be missing or
found: stored embeddings have half precision.

`--data` keeps the filled database for the next run. With --out, sizes that were not measured stay in the file.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from app.domain.decisions import Calibration, GalleryScale
from app.matcher.thresholds import Thresholds
from app.persistence.connections.database import Database
from app.security.keyring import Keyring
from app.services.collections.decisions import DecisionMaker
from app.services.sightings.matching import PeopleMatcher
from app.services.sightings.rematch import Rematch
from app.settings import Settings
from app.wiring.search import build_search
from benchmarks.album_galleries import KNOWN, MATES, NEW, Crowd, StoredAlbum, face_id, fill_album, register
from benchmarks.face_embeddings import FaceLike
from benchmarks.galleries import RECOGNIZER, BenchDatabase
from benchmarks.goals import at_most
from benchmarks.machine import describe_run
from benchmarks.serving import percentile

RESULT = Path(__file__).parent / "results" / "rematch.json"
KEYRING = Keyring([b"a secret of the benchmark, 32 bytes or more"])
GOALS_S = {100_000: 1.0, 1_000_000: 5.0}
TOLERANCE = 5e-4
_RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
_PAIRS = 4_000


class Measurement:
    """Registers people and compares them with an album, as a worker does."""

    def __init__(self, database: BenchDatabase, crowd: Crowd) -> None:
        self._bench = database
        self._crowd = crowd
        self._database = Database(database.service, pool_size=4)
        self._engine = build_search(Settings(), database.service, KEYRING)
        self._decisions = DecisionMaker({RECOGNIZER: calibrate()})
        matcher = PeopleMatcher(self._engine, self._decisions)
        self._rematch = Rematch(self._database, self._engine, matcher, self._decisions)

    async def run(self) -> dict[str, Any]:
        """Fill the album unless it exists, then register people and time the comparison of each."""
        connection = await self._bench.connect()
        started, protector = time.perf_counter(), self._engine.protector
        stored = await fill_album(connection, self._database, protector, self._crowd, note)
        note(f"filled in {time.perf_counter() - started:.0f} s")
        times, found = list[float](), list[set[UUID]]()
        for number, template in enumerate(self._crowd.draw_new()):
            name = f"new-{number}"
            await register(self._database, protector, stored, {name: template})
            started = time.perf_counter()
            await self._rematch.run()
            times.append(time.perf_counter() - started)
            found.append(await _read_faces(connection, stored, name))
            note(f"{name}: {times[-1]:.3f} s, {len(found[-1])} faces")
        await connection.close()
        await self._engine.close()
        await self._database.close()
        return {**_spread(times), **self._compare(found)}

    def _compare(self, found: list[set[UUID]]) -> dict[str, Any]:
        """Count the faces found, and those that an exact scan finds and the comparison does not, or vice versa."""
        missing = extra = planted = 0
        mates = self._crowd.mate_rows()
        for number, (sure, possible) in enumerate(self._scan()):
            missing += len(sure - found[number])
            extra += len(found[number] - possible)
            planted += len(found[number] & {face_id(row) for row in mates[number].tolist()})
        return {
            "found": sum(map(len, found)),
            "found_of_their_own": planted,
            "own_faces": NEW * MATES,
            "missing": missing,
            "extra": extra,
        }

    def _scan(self) -> list[tuple[set[UUID], set[UUID]]]:
        """Compare all faces with all people; return for each new person the faces that are surely, and may be, theirs.

        A face is theirs if they are the most similar of those registered when they are, from the threshold on.
        """
        known, new = self._crowd.draw_known(), self._crowd.draw_new()
        thresholds = [self._review_threshold(KNOWN + number + 1) for number in range(NEW)]
        result: list[tuple[set[UUID], set[UUID]]] = [(set(), set()) for _ in range(NEW)]
        for rows, faces in self._crowd.draw_faces():
            others, own = (faces @ known.T).max(axis=1), faces @ new.T
            for number, threshold in enumerate(thresholds):
                margin = own[:, number] - np.maximum(threshold, others)
                # Those registered later take faces over, but only after this person's were read.
                earlier = own[:, :number].max(axis=1, initial=-1.0)
                margin = np.minimum(margin, own[:, number] - earlier)
                for faces_of, limit in zip(result[number], (TOLERANCE, -TOLERANCE), strict=True):
                    faces_of.update(face_id(rows.start + row) for row in np.flatnonzero(margin > limit).tolist())
        return result

    def _review_threshold(self, people: int) -> float:
        return Thresholds.from_policy(calibrate(), GalleryScale(people).policy, people).review


def calibrate() -> Calibration:
    """Return the similarities of synthetic people by rate, as a pack's calibration states those of real ones."""
    faces = FaceLike(6).draw(_PAIRS)
    cosines = (faces @ faces.T)[np.triu_indices(_PAIRS, 1)]
    points = tuple((rate, round(float(np.quantile(cosines, 1 - rate)), 4)) for rate in _RATES)
    return Calibration(points, "measured on pairs of synthetic people")


async def _read_faces(connection: Any, stored: StoredAlbum, subject: str) -> set[UUID]:
    """Return the faces of the album that match or may match a subject."""
    rows = await connection.fetch(
        "SELECT g.face_id FROM sightings g JOIN subjects s ON s.tenant_id = g.tenant_id AND s.id = g.subject_id "
        "WHERE g.tenant_id = $1 AND g.collection_id = $2 AND s.subject = $3 AND g.state IN ('matched', 'review')",
        stored.tenant_id,
        stored.album_id,
        subject,
    )
    return {UUID(str(row["face_id"])) for row in rows}


def _spread(times: list[float]) -> dict[str, float]:
    return {
        "first_s": round(times[0], 3),
        "p50_s": round(percentile(times, 0.5), 3),
        "max_s": round(max(times), 3),
    }


def note(message: str) -> None:
    """Print progress to stderr."""
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


def list_goals(sizes: dict[str, Any]) -> list[dict[str, Any]]:
    goals = []
    for size, measured in sizes.items():
        about = f"a new person among {int(size):,} faces"
        if int(size) in GOALS_S:
            goals.append(at_most(f"{about}, the slowest of {NEW}", GOALS_S[int(size)], measured["max_s"], "s"))
        differing = measured["missing"] + measured["extra"]
        goals.append(at_most(f"{about}: faces that differ from an exact scan", 0, differing, "faces"))
    return goals


def main() -> None:
    """Measure and print JSON; exits with 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, action="append", help="the size of the album; repeat it for more")
    parser.add_argument("--data", type=Path, help="keep the database in this directory")
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    before = json.loads(arguments.out.read_text()) if arguments.out and arguments.out.exists() else {"sizes": {}}
    sizes = before["sizes"]
    with tempfile.TemporaryDirectory(prefix="vultus-rematch-") as temporary:
        directory = arguments.data or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        with BenchDatabase(directory) as database:
            for size in arguments.faces or GOALS_S:
                measured = asyncio.run(Measurement(database, Crowd(size)).run())
                sizes[str(size)] = {**describe_run(), "known_people": KNOWN, "new_people": NEW, **measured}
    goals = list_goals(sizes)
    result = {"what": "a newly registered person is looked for in an album", "sizes": sizes, "goals": goals}
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if all(goal["held"] for goal in goals) else 1)


if __name__ == "__main__":
    main()
