"""Whether a worker that is killed again and again loses nobody, sees nobody twice, and repeats little."""

import random
import signal
import time
from typing import Any

import httpx

from benchmarks.albums.stage import Stage
from benchmarks.goals import at_least, at_most
from benchmarks.videos.film import Shot, make_film
from benchmarks.videos.sending import wait
from benchmarks.videos.speed import photo_of

KILLS = 20
_SECONDS = 900


def prove_kills(stage: Stage) -> dict[str, Any]:
    """Kill the worker 20 times at random moments while it processes 15 minutes in which one person appears thrice."""
    photo = photo_of(stage)
    begins = (10, 300, 700)
    shots = [Shot("somebody", photo, begin, begin + 60, 0.4, 0.6) for begin in begins]
    film = make_film(shots, _SECONDS, size=(640, 360), per_second=10)
    rng, kills = random.Random(5), 0
    with stage.serving(VULTUS_ACCESS_TOKEN_MINUTES="60") as api:  # a busy machine needs more than 15
        tenant = stage.new_tenant(api)
        client = httpx.Client(base_url=api, headers=tenant.headers, timeout=300)
        client.post("/albums", json={"id": "films"}).raise_for_status()
        form = {"album": "films", "external_id": "kills.mp4", "samples_per_second": "5"}
        sent = client.post("/videos", data=form, files={"video": ("kills.mp4", film.data)}).raise_for_status()
        video_id = sent.json()["video_id"]
        while kills < KILLS and client.get(f"/videos/{video_id}").json()["state"] != "done":
            with stage.working() as worker:
                time.sleep(rng.uniform(3, 9))
                worker.send_signal(signal.SIGKILL)
                worker.wait()
            kills += 1
            stage.ask("UPDATE video_steps SET leased_until = now() WHERE state = 'working'")  # instead of 45 s
        with stage.working():
            wait(client, video_id)
        people = client.get(f"/videos/{video_id}/people").raise_for_status().json()["people"]
        (row,) = stage.ask("SELECT count(*) AS steps, sum(attempts) AS attempts FROM video_steps")
    intervals = [(one["begin_ms"] // 1000, one["end_ms"] // 1000) for person in people for one in person["intervals"]]
    wrong = len(set(begins) ^ {begin for begin, _ in intervals}) + abs(len(intervals) - len(begins))
    again = int(row["attempts"]) - int(row["steps"])
    return {
        "kills": kills,
        "steps": row["steps"],
        "done_again": again,
        "people": len(people),
        "intervals": intervals,
        "goals": [
            at_least("kills", KILLS, kills, "kills"),
            at_most("steps done again per kill", 1, round(again / max(1, kills), 3), "steps"),
            at_most("appearances that are lost, twice, or wrong", 0, wrong, "appearances"),
        ],
    }
