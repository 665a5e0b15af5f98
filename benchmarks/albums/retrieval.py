"""Whether selfies find the photos of an event: `vultus eval event --album` on mosaics of LFW's photos."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks.albums.stage import Stage
from benchmarks.goals import at_least
from benchmarks.photos import make_photos

PHOTOS, PEOPLE = 320, 160
_CELL, _COLUMNS = 320, 4


def measure_retrieval(stage: Stage) -> dict[str, Any]:
    """Compose an event of groups of 4 to 8 people, and look for them with selfies from other photos."""
    folder = stage.directory / "event"
    folder.mkdir()
    by_person = _people(stage)
    manifest = _write_event(folder, by_person, np.random.default_rng(11))
    with stage.serving() as api, stage.working():
        tenant = stage.new_tenant(api)
        scopes = {"name": "eval", "scopes": ["register", "recognize", "delete"]}
        key = httpx.post(f"{api}/keys", headers=tenant.headers, json=scopes).raise_for_status().json()["key"]
        out = stage.directory / "report"
        command = [str(Path(sys.executable).parent / "vultus"), "eval", "event", "--album"]
        command += ["--url", api.removesuffix("/api/v1"), "--data", str(folder), "--manifest", str(manifest)]
        subprocess.run([*command, "--out", str(out)], env={**os.environ, "VULTUS_API_KEY": key}, check=True)
    table = json.loads((out / "report.json").read_text())["event"]
    in_process = _compare_in_process(stage, folder, manifest)
    recall, precision = table["recall"], table["precision"]
    relative = recall["value"] / in_process["recall"]["value"]
    return {
        "photos": table["photos"],
        "faces": table["faces"],
        "selfies": table["selfies"],
        "people": table["people"],
        "recall": recall,
        "recall_of_comparing_in_process": in_process["recall"],
        "precision": precision,
        "stated_false_match_rate": table["stated_false_match_rate"],
        "searches_that_returned_only_the_person": table["false_positive_free"],
        "goals": [
            at_least("event retrieval by selfie, recall at the stated rate", 0.97, round(recall["value"], 4), "share"),
            at_least("the same, of what comparing in one process finds", 0.99, round(relative, 4), "share"),
        ],
    }


def _compare_in_process(stage: Stage, folder: Path, manifest: Path) -> dict[str, Any]:
    """Evaluate the same event by comparing embeddings in one process: what the recognizer itself can tell."""
    out = stage.directory / "in-process"
    command = [str(Path(sys.executable).parent / "vultus"), "eval", "event", "--data", str(folder)]
    env = {**os.environ, **stage.env}
    subprocess.run([*command, "--manifest", str(manifest), "--out", str(out)], env=env, check=True)
    table: dict[str, Any] = json.loads((out / "report.json").read_text())["event"]
    return table


def _people(stage: Stage) -> list[list[bytes]]:
    """Return people with three photos or more each; drawn people without LFW."""
    if stage.inputs.photos is None:
        drawn = make_photos("lfw", None, 3 * PEOPLE)
        return [[photo] * 3 for photo in drawn[:PEOPLE]]
    folders = [sorted(folder.glob("*.jpg")) for folder in sorted(stage.inputs.photos.iterdir())]
    many = [files for files in folders if len(files) >= 3]
    chosen = np.random.default_rng(7).permutation(len(many))[:PEOPLE]
    return [[file.read_bytes() for file in many[index]] for index in chosen]


def _write_event(folder: Path, by_person: list[list[bytes]], rng: np.random.Generator) -> Path:
    """Write group photos, one selfie a person that is in none of them, and the manifest."""
    rows = [("kind", "photo", "people")]
    for number in range(PHOTOS):
        group = rng.choice(len(by_person), size=rng.integers(4, 9), replace=False)
        name = f"{number}.jpg"
        photos = [by_person[person][rng.integers(1, len(by_person[person]))] for person in group]
        (folder / name).write_bytes(_compose(photos))
        rows.append(("photo", name, ";".join(f"p{person}" for person in group)))
    for person, photos in enumerate(by_person):
        (folder / f"selfie{person}.jpg").write_bytes(photos[0])
        rows.append(("selfie", f"selfie{person}.jpg", f"p{person}"))
    manifest = folder / "event.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return manifest


def _compose(photos: list[bytes]) -> bytes:
    """Set photos side by side, each cut to its center, so that bystanders are cut off."""
    canvas = Image.new("RGB", (_COLUMNS * _CELL, -(-len(photos) // _COLUMNS) * _CELL))
    for place, data in enumerate(photos):
        photo = Image.open(io.BytesIO(data)).convert("RGB").crop((35, 35, 215, 215))
        photo = photo.resize((_CELL, _CELL), Image.Resampling.BICUBIC)
        canvas.paste(photo, (place % _COLUMNS * _CELL, place // _COLUMNS * _CELL))
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
