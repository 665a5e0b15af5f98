"""Whether everybody who appears is found, once, at the right time, and named rightly."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.albums.stage import Stage
from benchmarks.goals import at_least, at_most
from benchmarks.videos.film import Film, Shot, make_film
from benchmarks.videos.sending import send_and_wait

PEOPLE, REGISTERED = 60, 45
_MIN_S = 1.0


def measure_identities(stage: Stage) -> dict[str, Any]:
    """Film 60 people of whom 45 are registered by another photo, and compare with the script."""
    film, portraits = _make_film(stage)
    with stage.serving() as api, stage.working():
        tenant = stage.new_tenant(api)
        client = httpx.Client(base_url=api, headers=tenant.headers, timeout=120)
        for person, portrait in portraits.items():
            files = {"images": (portrait.name, portrait.read_bytes())}
            client.post("/register", data={"subject": person, "face": "largest"}, files=files).raise_for_status()
        client.post("/albums", json={"id": "films", "people": ["default"]}).raise_for_status()
        video = send_and_wait(client, "films", "script.mp4", film.data)
        people = client.get(f"/videos/{video['video_id']}/people").raise_for_status().json()["people"]
    return {
        "seconds": film.seconds,
        "people": PEOPLE,
        "registered": len(portraits),
        **_compare(film, people, portraits),
    }


def _compare(film: Film, people: list[dict[str, Any]], portraits: dict[str, Path]) -> dict[str, Any]:
    tracks: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for person in people:
        tracks[_who(film, person)].append(person)
    shots = [shot for shot in film.shots if shot.end_s - shot.begin_s >= _MIN_S]
    seen = [[track for track in tracks[shot.person] if _overlap(shot, track) >= 0.5] for shot in shots]
    found = [bool(one) for one in seen]
    per_shot = sum(map(len, seen)) / max(1, sum(found))
    matched = [person for person in people if person["state"] == "matched"]
    right = [person for person in matched if person["subject"]["subject"] == _who(film, person)]
    precision = len(right) / max(1, len(matched))
    registered = [(shot, one) for shot, one in zip(shots, seen, strict=True) if shot.person in portraits]
    named = [any(_is_named(track, shot.person) for track in one) for shot, one in registered]
    return {
        "shots": len(shots),
        "people_listed": len(people),
        "nobody_of_the_script": len(tracks.get("", ())),
        "goals": [
            at_least("appearances of 1 s and more that are found", 0.95, round(float(np.mean(found)), 4), "share"),
            at_most("tracks per appearance", 1.2, round(per_shot, 3), "tracks"),
            at_least("people named rightly, of those named", 0.97, round(precision, 4), "share"),
            at_least("appearances named, of those registered", 0.95, round(float(np.mean(named)), 4), "share"),
        ],
    }


def _is_named(track: dict[str, Any], person: str) -> bool:
    return bool(track["state"] == "matched" and track["subject"]["subject"] == person)


def _who(film: Film, person: dict[str, Any]) -> str:
    """Return whom the script shows where the best face is; empty for nobody."""
    box = person["bounding_box"]
    at_s, x = person["best_ms"] / 1000, box["left"] + box["width"] / 2
    return next((shot.person for shot in film.shots if shot.has_face(at_s, x, film.aspect)), "")


def _overlap(shot: Shot, track: dict[str, Any]) -> float:
    """Return the share of a shot that is within a track's intervals; half a second more for what is between frames."""
    begin, end = shot.begin_s * 1000, shot.end_s * 1000
    covered = 0.0
    for one in track["intervals"]:
        covered += max(0.0, min(end, one["end_ms"] + 500) - max(begin, one["begin_ms"] - 500))
    return covered / (end - begin)


def _make_film(stage: Stage) -> tuple[Film, dict[str, Path]]:
    assert stage.inputs.photos is not None, "the identities need real faces: --photos and --pack"
    folders = sorted(folder for folder in stage.inputs.photos.iterdir() if len(list(folder.glob("*.jpg"))) >= 3)
    rng = np.random.default_rng(7)
    chosen = [folders[index] for index in rng.permutation(len(folders))[:PEOPLE]]
    photos = {folder.name: sorted(folder.glob("*.jpg")) for folder in chosen}
    names, shots, at_s = list(photos), list[Shot](), 0.0
    for number in range(PEOPLE):
        one, other = names[number], names[(number + 7) % PEOPLE]
        length = float(rng.uniform(2, 6))
        first = photos[one][1]
        match number % 4:
            case 0:
                shots.append(Shot(one, first, at_s, at_s + length, 0.25, 0.75))
            case 1:
                shots.append(Shot(one, first, at_s, at_s + length, 0.5, 0.5, 0.4, 0.9))
            case 2:  # two who are shown side by side
                shots.append(Shot(one, first, at_s, at_s + length, 0.25, 0.3))
                shots.append(Shot(other, photos[other][2], at_s, at_s + length, 0.75, 0.7))
            case _:  # two who cross, one in front of the other
                shots.append(Shot(one, first, at_s, at_s + length, 0.2, 0.8, 0.5, 0.5))
                shots.append(Shot(other, photos[other][2], at_s, at_s + length, 0.8, 0.2, 0.5, 0.5))
        at_s += length + (0.5 if number % 5 == 0 else 0.0)
    film = make_film(shots, at_s, jitter=0.5, seed=7)
    return film, {name: photos[name][0] for name in names[:REGISTERED]}
