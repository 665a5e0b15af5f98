"""Do strangers match when their photos are bad in the same way?

    make bench-degraded
    python -m benchmarks.degraded --photos DIR --pack DIR [--probes 700] [--only NAMES] [--out FILE]

For each alteration: 60 people are registered over HTTP, then others are searched, all with photos altered alike. A
second collection holds every altered face, whatever its quality (`POST /register/all` with `quality=none`), so that
the decision itself is tested, not only the refusal at registration. Strangers are compared in pairs as well. The
target is the collection's stated rate, 1 search in 1,000, times two. People with an even place in the sorted list of
folders are left out: the quality models that come with Vultus were fitted to them.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

from benchmarks.alterations import ALTERATIONS, Alteration
from benchmarks.goals import at_most
from benchmarks.machine import describe_run
from benchmarks.serving import serving, sign_up

REGISTERED, COMPARED = 60, 100
STATED_RATE = 1e-3
MAX_REFUSED = 0.005
_RATES = dict.fromkeys(("register", "recognize", "read", "delete", "admin"), "1000000/minute")


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Search for strangers in photos that are altered alike.")
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder a person")
    parser.add_argument("--pack", type=Path, required=True, help="a model pack's directory")
    parser.add_argument("--probes", type=int, default=700, help="strangers searched for each alteration")
    parser.add_argument("--only", help="alterations to measure, separated by semicolons")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    people = sorted(folder for folder in arguments.photos.iterdir() if folder.is_dir())[1::2]
    order = np.random.default_rng(0).permutation(len(people))
    photos = [_read(next(iter(sorted(people[index].glob("*.jpg"))))) for index in order]
    chosen = arguments.only.split(";") if arguments.only else list(ALTERATIONS)
    with serving(VULTUS_MODEL_PACK=str(arguments.pack.resolve()), VULTUS_ACCESS_TOKEN_MINUTES="600") as (api, admin):
        headers = sign_up(api, admin, _RATES)
        with httpx.Client(base_url=api, headers=headers, timeout=60) as client:
            unaltered = _count_refused(client, [photo for person in people for photo in sorted(person.glob("*.jpg"))])
            rows = {name: _measure(client, name, ALTERATIONS[name], photos, arguments.probes) for name in chosen}
    result = {
        "what": "strangers answered `match` where all photos are altered alike",
        **describe_run(),
        "pack": arguments.pack.name,
        "photos": "LFW, people that no quality model was fitted to",
        "registered": REGISTERED,
        "stated_rate": STATED_RATE,
        "unaltered": unaltered,
        "alterations": rows,
        "goals": _goals(unaltered, rows),
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def _count_refused(client: httpx.Client, photos: list[Path]) -> dict[str, int]:
    """Of the faces of unaltered photos that pass every other check, how many the quality score refuses.

    A photo's face is the one nearest the middle, which is LFW's person. Other faces that are the largest of their photo
    are counted apart.
    """
    counts = {"photos": len(photos), "acceptable_otherwise": 0, "refused_for_the_score": 0}
    others = {"acceptable_otherwise": 0, "refused_for_the_score": 0}
    for photo in photos:
        answer = _answer(client.post("/detect", files=_files(photo.read_bytes())))
        for index in {0, _find_central(answer)} if answer["faces"] else ():
            reasons = {reason["reason"] for reason in answer["faces"][index]["quality"]["reasons"]}
            counted = counts if index == _find_central(answer) else others
            counted["acceptable_otherwise"] += reasons <= {"unreliable"}
            counted["refused_for_the_score"] += reasons == {"unreliable"}
    return {**counts, **{f"other_largest_faces_{name}": count for name, count in others.items()}}


def _find_central(answer: dict[str, Any]) -> int:
    """The index of the face nearest the middle of the photo."""
    middle = answer["image"]["width"] / 2, answer["image"]["height"] / 2
    boxes = [face["box"] for face in answer["faces"]]
    distances = [
        math.hypot(box["x"] + box["width"] / 2 - middle[0], box["y"] + box["height"] / 2 - middle[1]) for box in boxes
    ]
    return int(np.argmin(distances))


def _measure(
    client: httpx.Client, name: str, alter: Alteration, photos: list[np.ndarray], probes: int
) -> dict[str, Any]:
    altered = [_encode(alter(photo)) for photo in photos[: REGISTERED + probes]]
    enrolled, searched = altered[:REGISTERED], altered[REGISTERED:]
    refused = [_register(client, "enrolled", index, photo) for index, photo in enumerate(enrolled)]
    for photo in enrolled:
        _answer(client.post("/register/all", data={"collection": "everything", "quality": "none"}, files=_files(photo)))
    row: dict[str, Any] = {
        "registered": refused.count(None),
        "refused": {code: refused.count(code) for code in sorted({code for code in refused if code})},
        "searches": _search(client, "enrolled", searched),
        "searches_of_everything": _search(client, "everything", searched),
        "comparisons": _compare(client, searched),
    }
    for collection in ("enrolled", "everything"):
        client.delete(f"/collections/{collection}")
    print(name, json.dumps(row), flush=True)
    return row


def _register(client: httpx.Client, collection: str, index: int, photo: bytes) -> str | None:
    """The code of the refusal; None if the face was stored."""
    if index == 0:
        for one in ("enrolled", "everything"):
            _answer(client.post("/collections", json={"name": one}))
    files = [("images", ("photo.jpg", photo, "image/jpeg"))]
    fields = {"collection": collection, "subject": f"person-{index}", "face": "largest"}
    answer = client.post("/register", data=fields, files=files)
    return None if answer.status_code == 201 else str(answer.json()["code"])


def _search(client: httpx.Client, collection: str, photos: list[bytes]) -> dict[str, int]:
    """How many strangers were found as a match, of those whose face was found."""
    found = matched = review = 0
    for photo in photos:
        answer = client.post("/recognize", data={"collection": collection, "limit": "1"}, files=_files(photo))
        faces = _answer(answer)["faces"]
        if not faces:
            continue
        decisions = {candidate["decision"] for face in faces for candidate in face["candidates"]}
        found += 1
        matched += "match" in decisions
        review += "match" not in decisions and "review" in decisions
    return {"with_a_face": found, "match": matched, "review": review}


def _compare(client: httpx.Client, photos: list[bytes]) -> dict[str, int]:
    """How many pairs of strangers were compared, and how many matched."""
    found = matched = 0
    for source, target in zip(photos[0 : 2 * COMPARED : 2], photos[1 : 2 * COMPARED : 2], strict=False):
        answer = client.post("/compare", files={"source": ("1.jpg", source), "target": ("2.jpg", target)})
        if answer.status_code == 422:
            continue
        found += 1
        matched += any(face["decision"] == "match" for face in _answer(answer)["targets"])
    return {"with_faces": found, "match": matched}


def _goals(unaltered: dict[str, int], rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    refused = unaltered["refused_for_the_score"] / max(1, unaltered["acceptable_otherwise"])
    goals = [at_most("unaltered photos refused for the score alone", MAX_REFUSED, round(refused, 5), "share of photos")]
    for name, row in rows.items():
        for kind in ("searches", "searches_of_everything"):
            measured = row[kind]["match"] / max(1, row[kind]["with_a_face"])
            title = f"{name}: {kind.replace('_', ' ')} answered match"
            goals.append(at_most(title, 2 * STATED_RATE, round(measured, 5), "share of strangers"))
    return goals


def _files(photo: bytes) -> dict[str, tuple[str, bytes, str]]:
    return {"image": ("photo.jpg", photo, "image/jpeg")}


def _answer(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body


def _read(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path)), dtype=np.uint8)


def _encode(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1])


if __name__ == "__main__":
    main()
