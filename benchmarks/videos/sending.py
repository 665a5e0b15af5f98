"""Send a video and wait until it is processed."""

import time
from typing import Any

import httpx

_GIVE_UP_S = 1_200
_ASKED_AGAIN_S = 0.5
"""Asking takes processor time from the worker."""


def send_and_wait(client: httpx.Client, album: str, name: str, data: bytes, **fields: str) -> dict[str, Any]:
    """Return the video when it is done; raises `SystemExit` if it fails."""
    sent = client.post(
        "/videos", data={"album": album, "external_id": name, **fields}, files={"video": (name, data)}
    ).raise_for_status()
    return wait(client, sent.json()["video_id"])


def wait(client: httpx.Client, video_id: str) -> dict[str, Any]:
    """Wait until a video is done."""
    deadline = time.monotonic() + _GIVE_UP_S
    while time.monotonic() < deadline:
        video: dict[str, Any] = client.get(f"/videos/{video_id}").raise_for_status().json()
        if video["state"] == "failed":
            raise SystemExit(f"the video failed: {video['code']}: {video['detail']}")
        if video["state"] == "done":
            return video
        time.sleep(_ASKED_AGAIN_S)
    raise SystemExit("the video is not processed")
