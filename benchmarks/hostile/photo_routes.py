"""Send mutated photos to every route that takes photos, as forms and as JSON, and to the other protocols."""

import base64
from collections import Counter
from typing import Any

import requests

from app.routes import API
from benchmarks.goals import at_least, at_most
from benchmarks.hostile.mutations import FORMATS, LARGE_FORMATS, mutate
from benchmarks.hostile.signed import call
from tests.schema.callers import Stage

MIN_REQUESTS = 500
ROUTES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "register": ({"subject": "mutated"}, ("images",)),
    "register/all": ({}, ("image",)),
    "recognize": ({}, ("image",)),
    "verify": ({"collection": "lobby", "subject": "ada"}, ("image",)),
    "compare": ({}, ("source", "target")),
    "detect": ({}, ("image",)),
    "extract": ({}, ("image",)),
}
"""Fields and photos of each route."""
OPERATIONS = {
    "DetectFaces": ("Image",),
    "IndexFaces": ("Image",),
    "SearchFacesByImage": ("Image",),
    "SearchUsersByImage": ("Image",),
    "CompareFaces": ("SourceImage", "TargetImage"),
}

COMPREFACE = {
    "recognition/faces?subject=mutated": ("file",),
    "recognition/recognize": ("file",),
    "detection/detect": ("file",),
    "verification/verify": ("source_image", "target_image"),
}
"""Photos of each operation of the CompreFace protocol."""


class PhotoRoutes:
    """Sends each photo to one route, in turns."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        stage.furnish("/collections/{collection}/subjects/{subject}")
        self._admin = stage.caller("admin").headers()
        self._key = stage.access_key(["register", "recognize"])
        self._service = {"x-api-key": stage.new_key(["register", "recognize"], collections=["lobby"])}
        self._statuses = Counter[str]()
        self._failed: list[str] = []

    def prove(self, per_format: int) -> dict[str, Any]:
        """Send `per_format` mutations of every format, and some of the large ones; returns figures and goals."""
        jobs = [(name, seed) for seed in range(per_format) for name in FORMATS]
        jobs += [(name, seed) for seed in range(2) for name in LARGE_FORMATS]
        for number, (name, seed) in enumerate(jobs):
            done, data = mutate(name, 1_000_000 + seed)  # others than in the worker processes
            what, answer = self._send(number, data)
            self._statuses[f"{what}: {answer.status_code}"] += 1
            if answer.status_code >= 500:
                self._failed.append(f"{what}: {answer.status_code} ({name}, seed {1_000_000 + seed}: {done})")
        return {
            "what": "mutated photos, sent to every route with photos",
            "statuses": dict(sorted(self._statuses.items())),
            "5xx": self._failed[:50],
            "goals": [
                at_least("mutated photos over HTTP", MIN_REQUESTS, self._statuses.total(), "requests"),
                at_most("mutated photos over HTTP: answers 5xx", 0, len(self._failed), "answers"),
            ],
        }

    def _send(self, number: int, data: bytes) -> tuple[str, requests.Response]:
        names = [*ROUTES, *(f"{route} as JSON" for route in ROUTES), *OPERATIONS, *COMPREFACE]
        what = names[number % len(names)]
        if what in OPERATIONS:
            return what, self._send_signed(what, data)
        if what in COMPREFACE:
            return what, self._send_compreface(what, data, is_json=number % 2 == 0)
        route = what.removesuffix(" as JSON")
        url = f"{self._stage.base}{API}/{route}"
        fields, photos = ROUTES[route]
        if what == route:
            files = dict.fromkeys(photos, ("photo", data, "image/jpeg"))
            return what, self._stage.session.post(url, headers=self._admin, data=fields, files=files)
        encoded = base64.b64encode(data).decode()
        body: dict[str, Any] = fields | {photo: [encoded] if photo == "images" else encoded for photo in photos}
        return what, self._stage.session.post(url, headers=self._admin, json=body)

    def _send_signed(self, operation: str, data: bytes) -> requests.Response:
        image = {"Bytes": base64.b64encode(data).decode()}
        parameters: dict[str, Any] = dict.fromkeys(OPERATIONS[operation], image)
        if operation not in ("DetectFaces", "CompareFaces"):
            parameters["CollectionId"] = "lobby"
        return call(self._stage.session, self._stage.base, operation, parameters, self._key)

    def _send_compreface(self, operation: str, data: bytes, *, is_json: bool) -> requests.Response:
        url, fields = f"{self._stage.base}/compreface/api/v1/{operation}", COMPREFACE[operation]
        if is_json:
            body = dict.fromkeys(fields, base64.b64encode(data).decode())
            return self._stage.session.post(url, headers=self._service, json=body)
        files = dict.fromkeys(fields, ("photo", data, "image/jpeg"))
        return self._stage.session.post(url, headers=self._service, files=files)
