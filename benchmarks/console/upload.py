"""Upload thousands of photos from the console, reload the page in the middle, and go on.

    python -m benchmarks.console.upload [--photos N] [--out [FILE]]

Debian's Chromium sends drawn photos to a new album; when 40% have arrived, the page is reloaded and the same files are
chosen again. The worker is idle. `program_seconds` is what one program takes that sends the same photos by the
REST API, four at a time, in the same run.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
from playwright.sync_api import Page

from benchmarks.console.browser import SECRET, create_tenant, put_on_plan, signed_in
from benchmarks.galleries import BenchDatabase
from benchmarks.goals import at_least, at_most
from benchmarks.machine import describe_run
from benchmarks.serving import started_server
from tests import pictures

RESULT = Path(__file__).parent.parent / "results" / "console_upload.json"
RELOADED_AT = 0.4
_AT_A_TIME = 4
_SHOWN = ".said"


class Api:
    """The REST API of the tenant."""

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        self._client = httpx.Client(base_url=f"{base}/api/v1", headers=headers, timeout=60)

    def create_album(self, name: str) -> None:
        self._client.post("/albums", json={"id": name}).raise_for_status()

    def count(self, name: str) -> int:
        return int(self._client.get(f"/albums/{name}").raise_for_status().json()["photos"]["total"])

    def list_photos(self, name: str) -> set[str]:
        """Return the external ids of an album's photos."""
        found, cursor = set[str](), ""
        while True:
            query = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
            page = self._client.get(f"/albums/{name}/photos", params=query).raise_for_status().json()
            found |= {one["external_id"] for one in page["items"]}
            if (cursor := page["next_cursor"]) is None:
                return found

    def send_all(self, name: str, files: list[Path]) -> float:
        """Send photos, some at the same time; return the seconds."""

        def send(file: Path) -> None:
            form = {"image": (file.name, file.read_bytes(), "image/jpeg")}
            self._client.put(f"/albums/{name}/photos/{file.name}", files=form).raise_for_status()

        started = time.perf_counter()
        with ThreadPoolExecutor(_AT_A_TIME) as threads:
            list(threads.map(send, files))
        return time.perf_counter() - started


def draw(directory: Path, count: int) -> list[Path]:
    """Write different photos; a file's end makes its digest its own."""
    photos = [pictures.photo(1 + number) for number in range(20)]
    files = []
    for number in range(count):
        files.append(directory / f"{number:05}.jpg")
        files[-1].write_bytes(photos[number % len(photos)] + number.to_bytes(4, "big"))
    return files


def upload(page: Page, api: Api, address: str, files: list[Path]) -> dict[str, Any]:
    """Upload with a reload in the middle; return the times, and what was sent although it had arrived."""
    sent: list[str] = []
    page.on("request", lambda one: sent.append(unquote(one.url.rsplit("/", 1)[1])) if one.method == "PUT" else None)
    page.goto(address)
    started = time.perf_counter()
    page.locator("upload-photos input").first.set_input_files(files)
    while api.count("console") < RELOADED_AT * len(files):
        page.wait_for_timeout(100)
    page.reload()
    first = time.perf_counter() - started
    page.wait_for_timeout(2_000)  # what was on its way has arrived, or was cut off
    arrived = api.list_photos("console")
    before = len(sent)
    started = time.perf_counter()
    page.locator("upload-photos input").first.set_input_files(files)
    page.locator(_SHOWN, has_text="All is sent.").wait_for(timeout=3_600_000)
    second = time.perf_counter() - started
    return {
        "seconds": round(first + second, 1),
        "arrived_before_reload": len(arrived),
        "sent_after_reload": len(sent) - before,
        "sent_twice": len(arrived & set(sent[before:])) + len(sent[before:]) - len(set(sent[before:])),
        "arrived": len(api.list_photos("console")),
        "said": page.locator(_SHOWN).inner_text(),
    }


def main() -> None:
    """Measure and print JSON; exits with 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2_000)
    parser.add_argument("--out", type=Path, nargs="?", const=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vultus-console-") as name, BenchDatabase(Path(name)) as database:
        directory = Path(name)
        (directory / "photos").mkdir()
        files = draw(directory / "photos", arguments.photos)
        env = {
            "VULTUS_DATABASE_URL": database.service,
            "VULTUS_SECRET_KEY": SECRET,
            "VULTUS_PUBLIC_RATE": "100000/minute",
            "VULTUS_ALBUM_WORKER": "false",
        }
        with started_server(directory, workers=1, **env) as (base, _):
            email, headers = create_tenant(base, "uploads")
            asyncio.run(put_on_plan(database.owner))
            api = Api(base, headers)
            for album in ("console", "program"):
                api.create_album(album)
            with signed_in(base, email) as page:
                measured = upload(page, api, f"{base}/console/albums/console", files)
            program_s = api.send_all("program", files)
    measured["program_seconds"] = round(program_s, 1)
    about = f"of {arguments.photos:,} photos"
    goals = [
        at_least(f"{about}, arrived after a reload in the middle", arguments.photos, measured["arrived"], "photos"),
        at_most(f"{about}, sent although they had arrived", 0, measured["sent_twice"], "photos"),
    ]
    result = {
        "what": "upload of photos from the console, in Chromium, with a reload in the middle",
        **describe_run(),
        **measured,
        "goals": goals,
    }
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(0 if all(goal["held"] for goal in goals) else 1)


if __name__ == "__main__":
    main()
