"""A running Vultus, over its public API."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from app.domain.faces import RelativeBox
from app.errors import OperatorError
from app.evaluation.answers import Answers
from app.evaluation.systems.photos import identity_of, read_photo, size_of
from app.evaluation.systems.protocol import MISSING, Enrolled, Gallery, Hit, Searched

_RETRIES = 10
_TIMEOUT_S = 60
_MAX_CANDIDATES = 100
"""The maximum number of candidates that the API returns."""
_PHOTO_CODES = ("image_", "no_face", "face_", "several_faces", "no_image_accepted")
"""Prefixes of error codes that concern the photo or the face in it, not the request."""
_DESCRIBING_FIELDS = ("recognizer", "calibration", "threshold", "comparisons")


class VultusServer:
    """Implements `System`; needs an API key in VULTUS_API_KEY with the scopes register, recognize and delete."""

    def __init__(self, url: str, answers: Answers) -> None:
        key = os.environ.get("VULTUS_API_KEY")
        if not key:
            raise OperatorError("Set VULTUS_API_KEY to an API key with the scopes register, recognize and delete.")
        try:
            self._client = httpx.Client(
                base_url=f"{url.rstrip('/')}/api/v1", headers={"authorization": f"Bearer {key}"}, timeout=_TIMEOUT_S
            )
        except UnicodeError:
            raise OperatorError("VULTUS_API_KEY is not an API key: it contains characters outside ASCII.") from None
        except (ValueError, httpx.InvalidURL) as exc:
            raise OperatorError(f"--url {url!r}: {exc}") from exc
        self._answers = answers
        self._description: dict[str, Any] = {}

    def describe(self) -> dict[str, Any]:
        return {"system": "Vultus API", "most_faces_a_search": _MAX_CANDIDATES, **self._description}

    def compare(self, first: Path, second: Path) -> float:
        """Return the similarity of the first photo's largest face and the most similar one of the second."""

        def compute() -> dict[str, Any]:
            files = [("source", ("a.jpg", read_photo(first))), ("target", ("b.jpg", read_photo(second)))]
            response = self.send("POST", "/compare", files=files)
            targets = response.get("targets")
            return {"said": _describe(response), "similarity": targets[0]["similarity"] if targets else None}

        answer = self._answers.get_or_compute(f"compare {identity_of(first)} {identity_of(second)}", compute)
        self.set_description(answer["said"])
        return MISSING if answer["similarity"] is None else float(answer["similarity"])

    def locate(self, photo: Path) -> RelativeBox | None:
        response = self.send("POST", "/detect", files=[("image", ("a.jpg", read_photo(photo)))])
        faces = response.get("faces")
        return RelativeBox(*_relative_box(faces[0]["box"], **response["image"])) if faces else None

    @contextmanager
    def gallery(self, name: str) -> Iterator[Gallery]:
        with self._answers.collection(name, self._create, self._erase) as collection:
            yield VultusGallery(self, self._answers, collection)

    def erase_open_collections(self) -> None:
        self._answers.erase_open_collections(self._erase)

    def set_description(self, description: dict[str, Any]) -> None:
        """Remember what a response says about the system; empty for a photo without a face, which changes nothing."""
        self._description = description or self._description

    def send(self, method: str, path: str, *, ignore_missing: bool = False, **request: Any) -> dict[str, Any]:
        """Return the response's body; empty if the photo, or the face in it, was refused.

        With `ignore_missing` also empty if the collection does not exist. Repeats a request that the server refused
        with 429 or 503. Raises `OperatorError` for all other errors.
        """
        try:
            for _ in range(_RETRIES):
                response = self._client.request(method, path, **request)
                if response.status_code not in (429, 503):
                    break
                time.sleep(float(response.headers.get("retry-after", 1)))
            body: dict[str, Any] = response.json() if response.content else {}
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise OperatorError(f"{self._client.base_url}: {exc or type(exc).__name__}") from exc
        except ValueError as exc:
            raise OperatorError(
                f"{path}: status {response.status_code} without JSON; is --url the address of a Vultus server?"
            ) from exc
        code = str(body.get("code", ""))
        if response.is_error and (code.startswith(_PHOTO_CODES) or (ignore_missing and code == "collection_not_found")):
            return {}
        if response.is_error:
            raise OperatorError(f"{path}: status {response.status_code}. {body.get('detail', '')}")
        return body

    def _create(self, collection: str) -> None:
        self.send("POST", "/collections", json={"name": collection})

    def _erase(self, collection: str) -> None:
        """Delete the collection, unless somebody already did so by hand."""
        self.send("DELETE", f"/collections/{collection}", ignore_missing=True)


class VultusGallery:
    """Implements `Gallery` as a collection. If all faces of a photo are enrolled, each one is a separate subject."""

    def __init__(self, server: VultusServer, answers: Answers, collection: str) -> None:
        self._server = server
        self._answers = answers
        self._collection = collection
        self._faces: dict[str, tuple[str, RelativeBox]] = {}
        """The key and the face's box of each subject stored."""

    def enroll(self, key: str, photo: Path, *, all_faces: bool = False) -> Enrolled:
        answer = self._answers.get_or_compute(
            f"enroll {self._collection} {key} {identity_of(photo)}",
            lambda: self._enroll_all(key, photo) if all_faces else self._enroll_one(key, photo),
        )
        for subject, box in answer["stored"]:
            self._faces[subject] = (key, RelativeBox(*box))
        return Enrolled(len(answer["stored"]), answer["seconds"])

    def _enroll_all(self, key: str, photo: Path) -> dict[str, Any]:
        data = {"collection": self._collection, "external_image_id": key}
        files, started = [("image", ("a.jpg", read_photo(photo)))], time.perf_counter()
        response = self._server.send("POST", "/register/all", data=data, files=files)
        seconds = time.perf_counter() - started
        stored = [
            [face["subject"], _relative_box(face["face"]["box"], **response["image"])]
            for face in response.get("stored", ())
        ]
        return {"stored": stored, "seconds": seconds}

    def _enroll_one(self, key: str, photo: Path) -> dict[str, Any]:
        data = {"subject": key, "collection": self._collection, "face": "largest"}
        content = read_photo(photo)
        files, started = [("images", ("a.jpg", content))], time.perf_counter()
        response = self._server.send("POST", "/register", data=data, files=files)
        seconds = time.perf_counter() - started
        stored = [
            [key, _relative_box(template["face"]["box"], *size_of(content))]
            for template in response.get("templates", ())
        ]
        return {"stored": stored, "seconds": seconds}

    def finish(self) -> int:
        return 0

    def search(self, photo: Path, limit: int) -> Searched:
        max_candidates = min(limit, _MAX_CANDIDATES)

        def compute() -> dict[str, Any]:
            data = {"collection": self._collection, "limit": str(max_candidates)}
            files, started = [("image", ("a.jpg", read_photo(photo)))], time.perf_counter()
            response = self._server.send("POST", "/recognize", data=data, files=files)
            seconds = time.perf_counter() - started
            faces = response.get("faces")
            return {
                "said": _describe(response),
                "seconds": seconds,
                "stated": response.get("false_match_rate"),
                "candidates": [
                    [candidate["subject"], candidate["similarity"], candidate["decision"] == "match"]
                    for candidate in faces[0]["candidates"]
                ]
                if faces
                else None,
            }

        answer = self._answers.get_or_compute(
            f"search {self._collection} {identity_of(photo)} {max_candidates}", compute
        )
        self._server.set_description(answer["said"])
        if answer["candidates"] is None:
            return Searched(None, answer["seconds"])
        best: dict[str, Hit] = {}
        for subject, similarity, is_match in answer["candidates"]:  # best first
            key, box = self._faces.get(subject, (subject, None))
            best.setdefault(key, Hit(key, similarity, is_match, box))
        return Searched(list(best.values()), answer["seconds"], answer["stated"])


def _describe(response: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a response that describe the system."""
    return {name: response[name] for name in _DESCRIBING_FIELDS if name in response}


def _relative_box(box: dict[str, float], width: int, height: int) -> list[float]:
    return [box["x"] / width, box["y"] / height, box["width"] / width, box["height"] / height]
