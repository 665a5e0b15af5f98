"""Say 1,000 times "not this person", then rotate templates, change the recognizer, and export and import everybody.

    make prove-refusals
    python -m benchmarks.refusals --photos DIR --pack DIR [--seed N] [--out [FILE]]

A server with a worker receives five photos each of 150 people of LFW into an album. 115 of them are registered, and the
worker finds them. Half of the refusals are rejected sightings: true matches, which the machine would make again. The
other half are pairs of faces that splits keep apart: clusters of one person, which it would join again. After each of
these steps, once the worker is idle, the lists of sightings and clusters must break no refusal:

1. Everybody is registered with another photo, and more photos come in.
2. `vultus templates rotate` protects all templates anew; then the first step is repeated.
3. `vultus models migrate` and `switch` move the people, then the album, to another recognizer. Then the first step is
   repeated, and `vultus models erase` erases the former templates.
4. Everybody registered is exported, erased and imported again.

At last, all refusals are taken back. The faces that return and the pairs that a cluster joins again are what the
refusals have prevented. Exits with 1 if a refusal was broken.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.albums.stage import Inputs, Stage, Tenant
from benchmarks.goals import at_least, at_most
from benchmarks.machine import describe_run
from benchmarks.review_checks import ALBUM, PEOPLE, ReviewApi, Seen, find_flaws, look, wait_until_idle
from benchmarks.second_pack import write_second_pack

RESULT = Path(__file__).parent / "results" / "refusals.json"
SUBJECTS, REGISTERED, PHOTOS = 150, 115, 5
REJECTIONS, PAIRS = 500, 500
ROUNDS = 3
"""How often more photos and templates come in."""
MORE = 30
"""How many photos come in each time."""
_MIN_PHOTOS = 6
_CONNECTIONS = 4


@dataclass
class Refusals:
    """What the reviewer said: no face shows the subject beside it; no two faces show one person."""

    rejected: list[tuple[str, str]] = field(default_factory=list)
    apart: list[tuple[str, str]] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)

    def count_returned(self, seen: Seen) -> int:
        """Count the rejections whose face is matched or may be matched with that subject."""
        return sum(seen.subject_of(face) == subject for face, subject in self.rejected)

    def count_joined(self, seen: Seen) -> int:
        """Count the pairs that share a cluster."""
        clusters = {face: one["cluster_id"] for face, one in seen.sightings.items()}
        return sum(clusters[first] is not None and clusters[first] == clusters[second] for first, second in self.apart)


class Proof:
    """Refuses, changes everything below the refusals, and keeps the transcript."""

    def __init__(self, stage: Stage, api: ReviewApi, tenant: Tenant, second_pack: str, seed: int) -> None:
        self._stage = stage
        self._api = api
        self._tenant = tenant
        self._second_pack = second_pack
        assert stage.inputs.photos is not None
        folders = [one for one in sorted(stage.inputs.photos.iterdir()) if len(list(one.glob("*.jpg"))) >= _MIN_PHOTOS]
        random.Random(seed).shuffle(folders)
        self._people = {f"person-{number:03}": folder for number, folder in enumerate(folders[:SUBJECTS], 1)}
        self._registered = dict.fromkeys(list(self._people)[:REGISTERED])
        """Those without a photo that is good enough are left out."""
        self._sent = stage.directory / "sent"
        self._more: list[tuple[str, Path]] = []
        self.refusals = Refusals()
        self.transcript: list[dict[str, Any]] = []
        self.broken: dict[str, int] = {}
        self.prevented = {"rejections": 0, "pairs": 0}
        self.flaws = 0

    def run(self) -> None:
        self._upload()
        self._register(0)
        self._look("people registered")
        self._reject()
        self._split()
        self._come_in("more photos and templates", 1)
        rotated = self._command("templates", "rotate", "--tenant", str(self._tenant.id), "--json")
        self._look("templates rotated", templates=int(json.loads(rotated)[0]["templates"]))
        self._come_in("more after the rotation", 2)
        self._migrate()
        self._come_in("more after the migration", 3)
        for collection in (ALBUM, PEOPLE):
            self._models("erase", collection, "--recognizer", str(self._stage.env["VULTUS_MODEL_PACK"]))
        self._look("former templates erased")
        self._move_everybody()
        self._take_back()

    def _upload(self) -> None:
        self._api.send("POST", "/collections", json={"name": PEOPLE})
        self._api.send("POST", "/albums", json={"id": ALBUM, "people": [PEOPLE]})
        files = {person: sorted(folder.glob("*.jpg")) for person, folder in self._people.items()}
        first = [(person, file) for person in files for file in files[person][:PHOTOS]]
        self._more = [(person, file) for person in files for file in files[person][PHOTOS + 1 + ROUNDS :]]
        random.Random(1).shuffle(first)
        random.Random(2).shuffle(self._more)
        self._send(first)
        self._look("photos uploaded", photos=len(first))

    def _send(self, photos: list[tuple[str, Path]]) -> None:
        """Upload photos, and keep them for the migration."""

        def put(photo: tuple[str, Path]) -> None:
            person, file = photo
            kept = self._sent / ALBUM / person / file.name
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(file.read_bytes())
            files = {"image": (file.name, kept.read_bytes(), "image/jpeg")}
            self._api.send("PUT", f"/albums/{ALBUM}/photos/{person}/{file.name}", files=files)

        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            list(pool.map(put, photos))

    def _register(self, number: int) -> None:
        """Register everybody with a photo that the album has not, as long as there are more."""
        for person in [*self._registered]:
            spare = sorted(self._people[person].glob("*.jpg"))[PHOTOS : PHOTOS + 1 + ROUNDS]
            chosen = spare[number : number + 1] if number else spare
            for file in chosen:
                if self._api.try_to_register(person, file.read_bytes()):
                    kept = self._sent / PEOPLE / person / file.name
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    kept.write_bytes(file.read_bytes())
                    break
            else:
                if not number:
                    del self._registered[person]

    def _reject(self) -> None:
        """Reject what the machine suggests, also what it suggests instead, until there are enough rejections."""
        said = self.refusals.rejected
        while len(said) < REJECTIONS:
            seen = look(self._api)
            found = [(face, subject) for face in seen.sightings if (subject := seen.subject_of(face)) is not None]
            chosen = found[: REJECTIONS - len(said)]
            if not chosen:
                raise SystemExit(f"only {len(said)} sightings can be rejected")
            decisions = [{"face_id": face, "verdict": "reject"} for face, _ in chosen]
            self._api.send("POST", "/sightings/decide", json={"decisions": decisions})
            said += chosen
            self._look("sightings rejected", rejections=len(said))

    def _split(self) -> None:
        """Take one face out of each cluster, the largest first, until there are enough pairs."""
        said = self.refusals.apart
        while len(said) < PAIRS:
            before = len(said)
            seen = look(self._api)
            for cluster in seen.clusters:
                faces = sorted(
                    face for face, one in seen.sightings.items() if one["cluster_id"] == cluster["cluster_id"]
                )
                if len(faces) < 2 or len(said) >= PAIRS:
                    break
                leaving, *staying = faces
                body = {"face_ids": [leaving]}
                answer = self._api.send("POST", f"/clusters/{cluster['cluster_id']}/split", json=body)
                self.refusals.operations.append(answer["operation_id"])
                said += [(leaving, face) for face in staying]
            if len(said) == before:
                raise SystemExit(f"only {len(said)} pairs can be split")
        self._look("clusters split", pairs=len(said), splits=len(self.refusals.operations))

    def _come_in(self, step: str, number: int) -> None:
        """Register everybody with another photo, and upload more photos."""
        self._register(number)
        photos = self._more[(number - 1) * MORE : number * MORE]
        self._send(photos)
        self._look(step, photos=len(photos))

    def _migrate(self) -> None:
        # The people first: the album must then be compared with them once more.
        for collection, options in ((PEOPLE, ("--subjects",)), (ALBUM, ())):
            said = self._models(
                "migrate", collection, "--to", self._second_pack, "--photos", str(self._sent / collection), *options
            )
            print(said, file=sys.stderr)
        for collection in (PEOPLE, ALBUM):
            self._models("switch", collection, "--to", self._second_pack, "--alone", "--accept-missing")
            self._look(f"recognizer of the {'album' if collection == ALBUM else 'people'} changed")

    def _models(self, command: str, collection: str, *options: str) -> str:
        scope = ("--tenant", str(self._tenant.id), "--collection", collection)
        return self._command("models", command, *scope, *options)

    def _command(self, *arguments: str) -> str:
        command = [str(Path(sys.executable).parent / "vultus"), *arguments]
        env = {**os.environ, **self._stage.env, "VULTUS_EXTRA_MODEL_PACKS": self._second_pack}
        ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        # `migrate` exits with 1 if a photo has a face that is not stored, such as one in the background.
        if ran.returncode and arguments[1] != "migrate":
            raise SystemExit(f"{' '.join(arguments)}: {ran.stdout} {ran.stderr}")
        return ran.stdout

    def _move_everybody(self) -> None:
        """Export, erase and import everybody registered."""
        for person in self._registered:
            path = f"/collections/{PEOPLE}/subjects/{person}"
            document = self._api.send("GET", f"{path}/export")
            self._api.send("DELETE", path)
            self._api.send("POST", "/subjects/import", json=document)
        self._look("everybody exported, erased and imported", subjects=len(self._registered))

    def _take_back(self) -> None:
        """Count what comes back without the refusals: otherwise the proof would prove nothing."""
        faces = list(dict.fromkeys(face for face, _ in self.refusals.rejected))
        for operation in reversed(self.refusals.operations):
            self._api.send("POST", f"/operations/{operation}/undo")
        self._stage.ask("UPDATE albums SET cluster_recognizer = 'none'")  # clusters are made anew
        wait_until_idle(self._stage, "splits taken back")
        joined = self.refusals.count_joined(look(self._api))
        decisions = [{"face_id": face, "verdict": "reopen"} for face in faces]
        self._api.send("POST", "/sightings/decide", json={"decisions": decisions})
        wait_until_idle(self._stage, "refusals taken back")
        returned = self.refusals.count_returned(look(self._api))
        self.prevented = {"rejections": returned, "pairs": joined}

    def _look(self, step: str, **did: int) -> None:
        """Wait until the worker is idle, and count what is broken."""
        idle_after_s = wait_until_idle(self._stage, step)
        seen = look(self._api)
        broken = {
            "rejected subjects that returned": self.refusals.count_returned(seen),
            "pairs in one cluster": self.refusals.count_joined(seen),
        }
        flaws = {name: count for name, count in find_flaws(seen).items() if count}
        self.flaws += sum(flaws.values())
        self.broken[step] = sum(broken.values())
        entry = {"step": step, **did, "idle_after_s": idle_after_s, **seen.count(), **broken, "flaws": flaws}
        self.transcript.append(entry)
        print(json.dumps(entry), file=sys.stderr, flush=True)


def list_goals(proof: Proof) -> list[dict[str, Any]]:
    said = len(proof.refusals.rejected) + len(proof.refusals.apart)
    goals = [at_least("refusals said", REJECTIONS + PAIRS, said, "refusals")]
    goals += [at_most(f"refusals broken: {step}", 0, count, "refusals") for step, count in proof.broken.items()]
    goals.append(at_most("answers that contradict each other", 0, proof.flaws, "answers"))
    returned = round(proof.prevented["rejections"] / len(proof.refusals.rejected), 3)
    goals.append(at_least("rejected subjects that return once the rejections are taken back", 0.5, returned, "share"))
    joined = round(proof.prevented["pairs"] / len(proof.refusals.apart), 3)
    goals.append(at_least("pairs that a cluster joins again once the splits are taken back", 0.5, joined, "share"))
    return goals


def main() -> None:
    """Run the proof and print JSON; exits with 1 if a refusal was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder a person")
    parser.add_argument("--pack", type=Path, required=True, help="a model pack's directory")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vultus-refusals-", ignore_cleanup_errors=True) as directory:
        second_pack = write_second_pack(arguments.pack, Path(directory) / "second")
        stage = Stage(Path(directory), Inputs(arguments.photos, arguments.pack))
        try:
            with stage.serving(VULTUS_ALBUM_WORKER="true", VULTUS_EXTRA_MODEL_PACKS=second_pack) as address:
                tenant = stage.new_tenant(address)
                api = ReviewApi(address, tenant.headers)
                proof = Proof(stage, api, tenant, second_pack, arguments.seed)
                proof.run()
                api.close()
        finally:
            stage.end()
    goals = list_goals(proof)
    result = {
        "what": "refusals of an album's faces through rotation, another recognizer, export and import",
        **describe_run(),
        "pack": arguments.pack.name,
        "seed": arguments.seed,
        "rejections": len(proof.refusals.rejected),
        "pairs": len(proof.refusals.apart),
        "returned_once_taken_back": proof.prevented,
        "transcript": proof.transcript,
        "goals": goals,
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if all(goal["held"] for goal in goals) else 1)


if __name__ == "__main__":
    main()
