"""Review an album of LFW's photos over the REST API, and check after each step what the API says.

    make prove-review
    python -m benchmarks.album_review --photos DIR --pack DIR [--seed N] [--out [FILE]]

A server with a worker receives 390 photos of 90 people into an album that looks for the people of a collection. Then:

1. 50 clusters are named: each is assigned to the person whom most of its faces show.
2. 20 other people are registered with one more photo; the worker finds them in the album.
3. 20 of their sightings are rejected, one of each person if possible.
4. Five of them are registered with another photo, so that everything is compared again.
5. Three assignments and two rejections are undone.
6. One registered and one named subject are erased.
7. What was decided about the erased subjects is undone; it must not bring them back.

After each step, the script waits until the worker is idle. Then it compares the lists of sightings, states, clusters
and subjects with each other, and with what was decided so far. The result file has counts only. Exits with 1 if a check
fails.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.albums.stage import Inputs, Stage
from benchmarks.goals import at_least, at_most
from benchmarks.machine import describe_run
from benchmarks.review_checks import ALBUM, PEOPLE, ReviewApi, Seen, find_flaws, look, wait_until_idle

RESULT = Path(__file__).parent / "results" / "album_review.json"
SUBJECTS, PHOTOS, MORE_PHOTOS, WITH_MORE = 90, 4, 5, 30
NAMED, REGISTERED, REJECTED, AGAIN = 50, 20, 20, 5
UNDONE_ASSIGNMENTS, UNDONE_REJECTIONS = 3, 2
MIN_MATCHED = 0.8
MAX_WRONG = 0.005
"""The policy allows 0.001 of the searches; with fewer than 500 faces, one or two may be above it by chance."""
_MIN_PHOTOS = 7
_CONNECTIONS = 4


@dataclass
class Decisions:
    """What the reviewer has decided and not taken back, by face.

    `assignments` are operations by subject, `rejections` by face.
    """

    assigned: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    assignments: dict[str, str] = field(default_factory=dict)
    rejections: dict[str, str] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)

    def find_broken(self, seen: Seen) -> dict[str, int]:
        """Count the decisions that no longer stand."""
        rows = seen.sightings
        return {
            "named faces that changed": sum(
                rows[face]["state"] != "matched" or seen.subject_of(face) != subject or not _is_by_person(rows[face])
                for face, subject in self.assigned.items()
            ),
            "rejected faces that came back as the same person": sum(
                seen.subject_of(face) == subject for face, subject in self.rejected.items()
            ),
            "rejected faces that are open again": sum(
                rows[face]["state"] in {"pending", "ignored"} for face in self.rejected
            ),
            "faces of erased subjects": sum(seen.subject_of(face) in self.erased for face in rows)
            + len(self.erased & set(seen.subjects)),
        }


def _is_by_person(sighting: dict[str, Any]) -> bool:
    return bool(sighting["decided_by"] != "machine")


class Review:
    """Plays the review and keeps the transcript."""

    def __init__(self, stage: Stage, api: ReviewApi, photos: Path, seed: int) -> None:
        self._stage = stage
        self._api = api
        self._rng = random.Random(seed)
        folders = [one for one in sorted(photos.iterdir()) if len(list(one.glob("*.jpg"))) >= _MIN_PHOTOS]
        self._rng.shuffle(folders)
        self._people = {f"person-{number:02}": folder for number, folder in enumerate(folders[:SUBJECTS], 1)}
        self._registered = list(self._people)[:REGISTERED]
        self._decisions = Decisions()
        self.transcript: list[dict[str, Any]] = []
        self.checks: dict[str, int] = {}
        self.matched_share = self.wrong_share = 0.0

    def play(self) -> None:
        self._upload()
        self._name_clusters()
        self._register()
        self._reject()
        self._register_again()
        self._undo()
        self._erase()
        self._undo_for_erased()

    def _upload(self) -> None:
        self._api.send("POST", "/collections", json={"name": PEOPLE})
        self._api.send("POST", "/albums", json={"id": ALBUM, "people": [PEOPLE]})
        sent = [
            (f"{person}/{number}.jpg", file)
            for index, person in enumerate(self._people)
            for number, file in enumerate(self._files(person)[: MORE_PHOTOS if index < WITH_MORE else PHOTOS], 1)
        ]
        self._rng.shuffle(sent)

        def put(photo: tuple[str, Path]) -> None:
            files = {"image": ("a.jpg", photo[1].read_bytes(), "image/jpeg")}
            self._api.send("PUT", f"/albums/{ALBUM}/photos/{photo[0]}", files=files)

        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            list(pool.map(put, sent))
        seen = self._settle("photos uploaded", photos=len(sent), people=len(self._people))
        counts = self._api.send("GET", f"/albums/{ALBUM}")["photos"]
        self._check("photos that were not processed", len(sent) - counts["done"])
        self._check("faces that are not pending at first", len(seen.sightings) - seen.by_state["pending"])

    def _name_clusters(self) -> None:
        before, named, faces, own = look(self._api), dict[str, str](), 0, 0
        for cluster in before.clusters:
            members = [one for one in before.sightings.values() if one["cluster_id"] == cluster["cluster_id"]]
            person, most = Counter(map(_person_of, members)).most_common(1)[0]
            if person in named or person in self._registered or len(named) == NAMED:
                continue
            self._api.send("POST", f"/collections/{PEOPLE}/subjects", json={"subject": person})
            answer = self._assign(cluster["cluster_id"], person)
            self._check("assignments of another number of faces", int(answer["faces"] != len(members)))
            named[person] = cluster["cluster_id"]
            self._decisions.assignments[person] = answer["operation_id"]
            self._decisions.assigned |= {one["face_id"]: person for one in members}
            faces, own = faces + len(members), own + most
        seen = self._settle("clusters named", named=len(named), faces_named=faces, of_the_named_person=own)
        self._check("clusters that were not named", NAMED - len(named))
        self._check(
            "named clusters that are still listed",
            len({one["cluster_id"] for one in seen.clusters} & set(named.values())),
        )
        self._check("faces matched that nobody named", seen.by_state["matched"] - faces)
        self._before_naming = before

    def _assign(self, cluster_id: str, person: str) -> Any:
        return self._api.send("POST", f"/clusters/{cluster_id}/assign", json={"collection": PEOPLE, "subject": person})

    def _register(self) -> None:
        for person in self._registered:
            self._api.register(person, self._spare_photos(person))
        seen = self._settle("people registered", registered=len(self._registered))
        photos = {one["external_id"] for one in seen.sightings.values() if _person_of(one) in self._registered}
        machine = [one for one in seen.sightings.values() if one["state"] == "matched" and not _is_by_person(one)]
        right = {one["external_id"] for one in machine if _is_match(one, _person_of(one))}
        in_review = [
            one
            for one in seen.sightings.values()
            if one["state"] == "review" and one["subject"]["subject"] == _person_of(one)
        ]
        self.matched_share = round(len(right & photos) / len(photos), 4)
        self.transcript[-1] |= {
            "photos_of_them": len(photos),
            "of_these_matched": len(right & photos),
            "of_these_in_review": len({one["external_id"] for one in in_review} & photos),
        }
        wrong = sum(one["subject"]["subject"] != _person_of(one) for one in machine)
        self.wrong_share = round(wrong / len(seen.sightings), 4)

    def _reject(self) -> None:
        before, chosen = look(self._api), list[dict[str, Any]]()
        for rank in range(MORE_PHOTOS):
            for person in self._registered:
                own = [one for one in before.sightings.values() if _is_match(one, person)]
                own.sort(key=lambda one: (-one["similarity"], one["face_id"]))
                chosen += own[rank : rank + 1]
        for one in chosen[:REJECTED]:
            face, person = one["face_id"], one["subject"]["subject"]
            decisions = [{"face_id": face, "verdict": "reject"}]
            answer = self._api.send("POST", "/sightings/decide", json={"decisions": decisions})
            self._check("rejections that were refused", sum(one["problem"] is not None for one in answer["items"]))
            self._decisions.rejected[face] = person
            self._decisions.rejections[face] = answer["operations"][0]
        rejected = self._decisions.rejected
        seen = self._settle("sightings rejected", rejected=len(rejected), of_people=len(set(rejected.values())))
        self._check("sightings that could not be rejected", REJECTED - len(rejected))
        self._check(
            "matches that a rejection of another face changed", self._count_changed(before, seen, set(rejected))
        )

    def _register_again(self) -> None:
        again = list(dict.fromkeys(self._decisions.rejected.values()))[:AGAIN]
        for person in again:
            self._api.register(person, self._spare_photos(person)[::-1])
        self._settle("five people registered again", registered=len(again))

    def _undo(self) -> None:
        chosen = self._decisions
        people = list(chosen.assignments)[:UNDONE_ASSIGNMENTS]
        rejected = {face: chosen.rejected.pop(face) for face in list(chosen.rejections)[:UNDONE_REJECTIONS]}
        faces: dict[str, str] = {}
        for person in people:
            own = [face for face, subject in chosen.assigned.items() if subject == person]
            self._undo_one(chosen.assignments.pop(person), len(own))
            for face in own:
                faces[face] = chosen.assigned.pop(face)
        for face in rejected:
            self._undo_one(chosen.rejections.pop(face), 1)
        did = {"assignments": len(people), "rejections": len(rejected), "faces_undone": len(faces) + len(rejected)}
        seen = self._settle("operations undone", **did)
        self._check("undone assignments that did not return", sum(not self._is_back(face, seen) for face in faces))
        returned = sum(_is_match(seen.sightings[face], person) for face, person in rejected.items())
        self._check("undone rejections that did not return", len(rejected) - returned)

    def _undo_one(self, operation: str, faces: int) -> None:
        answer = self._api.send("POST", f"/operations/{operation}/undo")
        self._check("undone operations of another number of faces", int(answer["restored"] != faces))
        again = self._api.post(f"/operations/{operation}/undo")
        self._check("operations that can be undone twice", int(again.status_code != 409))

    def _is_back(self, face: str, seen: Seen) -> bool:
        """Return whether the machine has the face again: in its old cluster, or with a registered person."""
        now, before = seen.sightings[face], self._before_naming.sightings[face]
        if _is_by_person(now):
            return False
        if now["state"] == "matched":
            return seen.subject_of(face) in self._registered
        return bool(now["cluster_id"] == before["cluster_id"])

    def _erase(self) -> None:
        before, chosen = look(self._api), self._decisions
        registered, named = next(iter(chosen.rejected.values())), next(iter(chosen.assignments))
        theirs = {face for face in before.sightings if before.subject_of(face) in {registered, named}}
        for person in (registered, named):
            self._api.send("DELETE", f"/collections/{PEOPLE}/subjects/{person}")
            chosen.erased.add(person)
        chosen.assigned = {face: subject for face, subject in chosen.assigned.items() if subject != named}
        self._rejected_for_erased = [face for face, subject in chosen.rejected.items() if subject == registered]
        for face in self._rejected_for_erased:
            del chosen.rejected[face]
        seen = self._settle("subjects erased", erased=2, faces_of_theirs=len(theirs))
        self._check_erased(seen, theirs)
        self._check("sightings of others changed by an erasure", self._count_changed(before, seen, theirs))

    def _check_erased(self, seen: Seen, theirs: set[str]) -> None:
        """Check that their faces are open, and that nothing is known about the subjects anymore."""
        rows, rejected = seen.sightings, self._decisions.rejected
        kept = {"review": theirs, "rejected": rejected}  # they resemble somebody else, or others were rejected
        others = sum(
            rows[face]["state"] != "pending" and face not in kept.get(rows[face]["state"], ()) for face in theirs
        )
        self._check("faces of erased subjects that are neither pending nor in review", others)
        for person in self._decisions.erased:
            for path in ("", "/sightings", "/faces"):
                answer = self._api.get(f"/collections/{PEOPLE}/subjects/{person}{path}")
                self._check("routes that know an erased subject", int(answer.status_code != 404))

    def _count_changed(self, before: Seen, seen: Seen, without: set[str]) -> int:
        return sum(before.subject_of(face) != seen.subject_of(face) for face in before.sightings if face not in without)

    def _undo_for_erased(self) -> None:
        chosen = self._decisions
        before = look(self._api)
        operations = [chosen.assignments.pop(person) for person in chosen.erased & set(chosen.assignments)]
        operations += [chosen.rejections.pop(face) for face in self._rejected_for_erased]
        restored = sum(self._api.send("POST", f"/operations/{one}/undo")["restored"] for one in operations)
        seen = self._settle("undone for erased subjects", operations=len(operations), faces_undone=restored)
        self._check("faces that an undo gave to a subject", self._count_changed(before, seen, set()))

    def _settle(self, step: str, **did: int) -> Seen:
        """Wait until the worker is idle, look, check everything, and write it down."""
        idle_after_s = wait_until_idle(self._stage, step)
        seen = look(self._api)
        flaws = {**find_flaws(seen), **self._decisions.find_broken(seen)}
        for name, count in flaws.items():
            self._check(name, count)
        entry = {"step": step, **did, "idle_after_s": idle_after_s, **seen.count()}
        found = {name: count for name, count in flaws.items() if count}
        self.transcript.append({**entry, "flaws": found})
        print(json.dumps(self.transcript[-1]), file=sys.stderr, flush=True)
        return seen

    def _check(self, name: str, count: int) -> None:
        self.checks[name] = self.checks.get(name, 0) + count

    def _files(self, person: str) -> list[Path]:
        return sorted(self._people[person].glob("*.jpg"))

    def _spare_photos(self, person: str) -> list[bytes]:
        """Return photos of the person that are not in the album."""
        return [file.read_bytes() for file in self._files(person)[MORE_PHOTOS:]]


def _is_match(sighting: dict[str, Any], person: str) -> bool:
    """Return whether the worker matched the face with the person."""
    is_matched = sighting["state"] == "matched" and not _is_by_person(sighting)
    return is_matched and bool(sighting["subject"]["subject"] == person)


def _person_of(sighting: dict[str, Any]) -> str:
    """Return whom the photo is of, by the folder in its id."""
    return str(sighting["external_id"].split("/")[0])


def main() -> None:
    """Play the review and print JSON; exits with 1 if a check fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder a person")
    parser.add_argument("--pack", type=Path, required=True, help="a model pack's directory")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vultus-review-", ignore_cleanup_errors=True) as directory:
        stage = Stage(Path(directory), Inputs(arguments.photos, arguments.pack))
        try:
            with stage.serving(VULTUS_ALBUM_WORKER="true") as address:
                api = ReviewApi(address, stage.new_tenant(address).headers)
                review = Review(stage, api, arguments.photos, arguments.seed)
                review.play()
                api.close()
        finally:
            stage.end()
    goals = [at_most(name, 0, count, "cases") for name, count in review.checks.items()]
    share = "photos of registered people in which the worker found them"
    goals.append(at_least(share, MIN_MATCHED, review.matched_share, "share"))
    goals.append(at_most("faces that the worker matched with somebody else", MAX_WRONG, review.wrong_share, "share"))
    result = {
        "what": "a review of an album over the REST API, checked after each step",
        **describe_run(),
        "pack": arguments.pack.name,
        "seed": arguments.seed,
        "transcript": review.transcript,
        "goals": goals,
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if all(goal["held"] for goal in goals) else 1)


if __name__ == "__main__":
    main()
