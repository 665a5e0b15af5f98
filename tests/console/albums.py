"""An album of the signed-in admin, filled by the REST API."""

import time

import httpx

from tests import pictures

ALBUM = "party"


def create_album(api: httpx.Client, **fields: object) -> None:
    assert api.post("/albums", json={"id": ALBUM, "title": "Party", **fields}).status_code == 201


def register(api: httpx.Client, subject: str, seed: int, name: str) -> None:
    files = {"images": ("a.jpg", pictures.photo(seed), "image/jpeg")}
    assert api.post("/register", data={"subject": subject, "name": name}, files=files).is_success


def put_photos(api: httpx.Client, **photos: bytes) -> None:
    """Send photos, and wait until each is processed and each unknown face is in a group."""
    for name, data in photos.items():
        sent = api.put(f"/albums/{ALBUM}/photos/{name}.jpg", files={"image": (name, data, "image/jpeg")})
        assert sent.is_success, sent.text
    deadline = time.monotonic() + 120
    while True:
        found = api.get(f"/albums/{ALBUM}").json()["photos"]
        if found["total"] == found["done"] + found["failed"] and not _list_ungrouped(api):
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def _list_ungrouped(api: httpx.Client) -> list[str]:
    faces = api.get(f"/albums/{ALBUM}/sightings?limit=500").json()["items"]
    return [one["face_id"] for one in faces if one["state"] in ("pending", "review") and one["cluster_id"] is None]


def states(api: httpx.Client) -> list[str]:
    """The states of the album's faces, sorted."""
    return sorted(one["state"] for one in api.get(f"/albums/{ALBUM}/sightings?limit=500").json()["items"])
