"""What the REST API says about an album under review, and whether its answers agree with each other."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx

from benchmarks.albums.stage import Stage

ALBUM, PEOPLE = "event", "people"
STATES = ("pending", "review", "matched", "rejected", "ignored")
UNKNOWN = {"pending", "review", "rejected"}
_PAGE = 200
_SAMPLED_CLUSTERS = 10
_GIVE_UP_S = 600
_BUSY = """
SELECT (SELECT count(*) FROM photos WHERE state IN ('received', 'working'))
     + (SELECT count(*) FROM sightings WHERE is_stale)
     + (SELECT count(*) FROM vultus_unclustered_albums())
     + (SELECT count(*) FROM vultus_stale_people())
     + (SELECT count(*) FROM album_people WHERE leased_until IS NOT NULL)
"""


class ReviewApi:
    """The routes of a review, as one caller."""

    def __init__(self, api: str, headers: dict[str, str]) -> None:
        self._client = httpx.Client(base_url=api, headers=headers, timeout=60)

    def close(self) -> None:
        self._client.close()

    def get(self, path: str) -> httpx.Response:
        return self._client.get(path)

    def post(self, path: str) -> httpx.Response:
        return self._client.post(path)

    def send(self, method: str, path: str, **body: Any) -> Any:
        """Send a request that must succeed; returns the answer, None if it is empty."""
        answer = self._client.request(method, path, **body)
        if answer.is_error:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def register(self, subject: str, photos: Collection[bytes]) -> None:
        """Register the first of these photos that is good enough."""
        if not any(self.try_to_register(subject, photo) for photo in photos):
            raise SystemExit(f"{subject} cannot be registered")

    def try_to_register(self, subject: str, photo: bytes) -> bool:
        """Register a photo; return False if it is not good enough."""
        files = {"images": ("a.jpg", photo, "image/jpeg")}
        answer = self._client.post("/register", data={"subject": subject, "collection": PEOPLE}, files=files)
        if answer.is_error and answer.status_code != 422:
            raise SystemExit(f"{subject} cannot be registered: {answer.status_code} {answer.text}")
        return answer.status_code == 201

    def list(self, path: str, **params: str) -> list[dict[str, Any]]:
        """Return the items of all pages."""
        return list(self._iterate(path, params))

    def _iterate(self, path: str, params: dict[str, str]) -> Iterator[dict[str, Any]]:
        cursor = None
        while True:
            asked = {**params, "limit": str(_PAGE), **({"cursor": cursor} if cursor else {})}
            page = self._client.get(path, params=asked).raise_for_status().json()
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return


@dataclass(frozen=True)
class Seen:
    """What the API says at one moment; sightings by face id, faces by subject."""

    faces: int
    sightings: dict[str, dict[str, Any]]
    by_state: dict[str, int]
    clusters: list[dict[str, Any]]
    sampled: dict[str, set[str]]
    """The faces that a list by cluster has, for some clusters."""
    subjects: dict[str, set[str]]

    def subject_of(self, face_id: str) -> str | None:
        subject = self.sightings[face_id]["subject"]
        return None if subject is None else str(subject["subject"])

    def count(self) -> dict[str, Any]:
        """Return the numbers, without ids."""
        sizes = [cluster["faces"] for cluster in self.clusters]
        return {
            "faces": self.faces,
            "sightings": len(self.sightings),
            "by_state": self.by_state,
            "decided_by_a_person": sum(one["decided_by"] != "machine" for one in self.sightings.values()),
            "clusters": len(sizes),
            "clusters_of_two_faces_or_more": sum(size > 1 for size in sizes),
            "largest_cluster": max(sizes, default=0),
            "subjects": len(self.subjects),
            "subjects_that_were_seen": sum(bool(faces) for faces in self.subjects.values()),
        }


def wait_until_idle(stage: Stage, step: str) -> float:
    """Wait until no worker has anything to do; return the seconds."""
    started = time.monotonic()
    while busy := int(stage.ask(_BUSY)[0][0]):
        if time.monotonic() > started + _GIVE_UP_S:
            raise SystemExit(f"{step}: the worker does not become idle, {busy} things wait")
        time.sleep(0.2)
    return round(time.monotonic() - started, 1)


def look(api: ReviewApi) -> Seen:
    """Ask for everything."""
    album = api.send("GET", f"/albums/{ALBUM}")
    path = f"/albums/{ALBUM}/sightings"
    sightings = {one["face_id"]: one for one in api.list(path)}
    clusters = api.list(f"/albums/{ALBUM}/clusters")
    subjects = [one["subject"] for one in api.list(f"/collections/{PEOPLE}/subjects")]
    return Seen(
        album["photos"]["faces"],
        sightings,
        {state: len(api.list(path, state=state)) for state in STATES},
        clusters,
        {
            one["cluster_id"]: {face["face_id"] for face in api.list(path, cluster_id=one["cluster_id"])}
            for one in clusters[:_SAMPLED_CLUSTERS]
        },
        {
            subject: {one["face_id"] for one in api.list(f"/collections/{PEOPLE}/subjects/{subject}/sightings")}
            for subject in subjects
        },
    )


def find_flaws(seen: Seen) -> dict[str, int]:
    """Count the answers that contradict each other."""
    rows = seen.sightings
    members: dict[str, set[str]] = {}
    for face_id, one in rows.items():
        if one["cluster_id"] is not None:
            members.setdefault(one["cluster_id"], set()).add(face_id)
    listed = {one["cluster_id"]: (one["faces"], one["photos"], set(one["samples"])) for one in seen.clusters}
    photos = {cluster: {rows[face_id]["image_id"] for face_id in faces} for cluster, faces in members.items()}
    counted = {cluster: (len(faces), len(photos[cluster])) for cluster, faces in members.items()}
    sizes = [one["faces"] for one in seen.clusters]
    states = Counter(one["state"] for one in rows.values())
    by_subject: dict[str, set[str]] = {subject: set() for subject in seen.subjects}
    for face_id in rows:
        if (subject := seen.subject_of(face_id)) is not None:
            by_subject.setdefault(subject, set()).add(face_id)
    return {
        "faces without a sighting": abs(seen.faces - len(rows)),
        "states whose list differs": sum(states[state] != count for state, count in seen.by_state.items()),
        "unknown faces without a cluster": sum(
            one["state"] in UNKNOWN and one["cluster_id"] is None for one in rows.values()
        ),
        "known faces in a cluster": sum(
            one["state"] not in UNKNOWN and one["cluster_id"] is not None for one in rows.values()
        ),
        "clusters that differ from their faces": sum(
            counted.get(cluster) != (faces, photos) or not samples <= members[cluster]
            for cluster, (faces, photos, samples) in listed.items()
        )
        + len(set(counted) - set(listed)),
        "clusters out of order": sum(left < right for left, right in pairwise(sizes)),
        "clusters whose list differs": sum(faces != members.get(cluster) for cluster, faces in seen.sampled.items()),
        "clusters with two faces of a photo": sum(len(photos[one]) != len(members[one]) for one in members),
        "people whom the worker matched twice in a photo": _count_twice(rows.values()),
        "states that contradict the subject": sum(
            (one["state"] in {"matched", "review"}) != (one["subject"] is not None) for one in rows.values()
        ),
        "subjects whose list differs": sum(
            by_subject.get(one) != seen.subjects.get(one) for one in {*by_subject, *seen.subjects}
        ),
    }


def _count_twice(sightings: Iterable[dict[str, Any]]) -> int:
    matched = [one for one in sightings if one["state"] == "matched"]
    counts = Counter((one["image_id"], one["subject"]["subject"]) for one in matched)
    return sum(count > 1 for count in counts.values())
