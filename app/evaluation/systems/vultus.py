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
from app.evaluation.systems.protocol import MISSING, Enrolled, Hit, Searched

_RETRIES = 10
_TIMEOUT_S = 60
_MAX_CANDIDATES = 100  # that the API answers
_PHOTO_CODES = ("image_", "no_face", "face_", "several_faces", "no_image_accepted")
"""What is wrong with a photo or the face in it, not with the call."""
_SAID = ("recognizer", "calibration", "threshold", "comparisons")


class VultusServer:
    """See `System`; with an API key (VULTUS_API_KEY) that may register, recognize and delete."""

    def __init__(self, url: str, answers: Answers) -> None:
        key = os.environ.get("VULTUS_API_KEY")
        if not key:
            raise OperatorError("Set VULTUS_API_KEY to an API key with the scopes register, recognize and delete.")
        try:
            self._client = httpx.Client(
                base_url=f"{url.rstrip('/')}/api/v1", headers={"authorization": f"Bearer {key}"}, timeout=_TIMEOUT_S
            )
        except UnicodeError:
            raise OperatorError("VULTUS_API_KEY is no API key: it has letters that none has.") from None
        except (ValueError, httpx.InvalidURL) as exc:
            raise OperatorError(f"--url {url!r}: {exc}") from exc
        self._idempotency_records = answers
        self._said: dict[str, Any] = {}

    def describe(self) -> dict[str, Any]:
        """See `System`."""
        return {"system": "Vultus API", "most_faces_a_search": _MAX_CANDIDATES, **self._said}

    def compare(self, first: Path, second: Path) -> float:
        """See `System`; the first photo's largest face with the most similar of the second's."""

        def ask() -> dict[str, Any]:
            files = [("source", ("a.jpg", read_photo(first))), ("target", ("b.jpg", read_photo(second)))]
            answer = self.send("POST", "/compare", files=files)
            targets = answer.get("targets")
            return {"said": said_in(answer), "similarity": targets[0]["similarity"] if targets else None}

        found = self._idempotency_records.ask(f"compare {identity_of(first)} {identity_of(second)}", ask)
        self.note(found["said"])
        return MISSING if found["similarity"] is None else float(found["similarity"])

    def locate(self, photo: Path) -> RelativeBox | None:
        """See `System`."""
        answer = self.send("POST", "/detect", files=[("image", ("a.jpg", read_photo(photo)))])
        faces = answer.get("faces")
        return RelativeBox(*_place(faces[0]["box"], **answer["image"])) if faces else None

    @contextmanager
    def gallery(self, name: str) -> Iterator["VultusGallery"]:
        """See `System`."""
        with self._idempotency_records.collection(name, self._create, self._erase) as collection:
            yield VultusGallery(self, self._idempotency_records, collection)

    def abandon(self) -> None:
        """See `System`."""
        self._idempotency_records.abandon(self._erase)

    def note(self, said: dict[str, Any]) -> None:
        """Keep what an answer says of the system; one about a photo without a face says nothing."""
        self._said = said or self._said

    def send(self, method: str, path: str, *, or_gone: bool = False, **more: Any) -> dict[str, Any]:
        """The answer; empty where the photo, or the face in it, was refused, or the collection is not there and that is
        as well. Raises `OperatorError` for all else."""
        try:
            for _ in range(_RETRIES):
                answer = self._client.request(method, path, **more)
                if answer.status_code not in (429, 503):
                    break
                time.sleep(float(answer.headers.get("retry-after", 1)))
            body: dict[str, Any] = answer.json() if answer.content else {}
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise OperatorError(f"{self._client.base_url}: {exc or type(exc).__name__}") from exc
        except ValueError as exc:
            raise OperatorError(f"{path}: {answer.status_code}, and no JSON: is this a Vultus?") from exc
        code = str(body.get("code", ""))
        if answer.is_error and (code.startswith(_PHOTO_CODES) or (or_gone and code == "collection_not_found")):
            return {}
        if answer.is_error:
            raise OperatorError(f"{path}: {answer.status_code} {body.get('detail', '')}")
        return body

    def _create(self, collection: str) -> None:
        self.send("POST", "/collections", json={"name": collection})

    def _erase(self, collection: str) -> None:
        """Whoever erased it by hand did no harm."""
        self.send("DELETE", f"/collections/{collection}", or_gone=True)


class VultusGallery:
    """See `Gallery`: a collection. Of a photo in which everybody is enrolled, each face is a subject of its own."""

    def __init__(self, server: VultusServer, answers: Answers, collection: str) -> None:
        self._server = server
        self._idempotency_records = answers
        self._collection = collection
        self._faces: dict[str, tuple[str, RelativeBox]] = {}
        """Of the subjects that stand for a face of a photo: its key, and the face's place."""

    def enroll(self, key: str, photo: Path, *, everybody: bool = False) -> Enrolled:
        """See `Gallery`."""
        found = self._idempotency_records.ask(
            f"enroll {self._collection} {key} {identity_of(photo)}",
            lambda: self._enroll_everybody(key, photo) if everybody else self._enroll_one(key, photo),
        )
        for subject, box in found["stored"]:
            self._faces[subject] = (key, RelativeBox(*box))
        return Enrolled(len(found["stored"]), found["seconds"])

    def _enroll_everybody(self, key: str, photo: Path) -> dict[str, Any]:
        data = {"collection": self._collection, "external_image_id": key}
        files, began = [("image", ("a.jpg", read_photo(photo)))], time.perf_counter()
        answer = self._server.send("POST", "/register/all", data=data, files=files)
        seconds = time.perf_counter() - began
        stored = [[one["subject"], _place(one["face"]["box"], **answer["image"])] for one in answer.get("stored", ())]
        return {"stored": stored, "seconds": seconds}

    def _enroll_one(self, key: str, photo: Path) -> dict[str, Any]:
        data = {"subject": key, "collection": self._collection, "face": "largest"}
        content = read_photo(photo)
        files, began = [("images", ("a.jpg", content))], time.perf_counter()
        answer = self._server.send("POST", "/register", data=data, files=files)
        seconds = time.perf_counter() - began
        stored = [[key, _place(one["face"]["box"], *size_of(content))] for one in answer.get("templates", ())]
        return {"stored": stored, "seconds": seconds}

    def search(self, photo: Path, limit: int) -> Searched:
        """See `Gallery`."""
        most = min(limit, _MAX_CANDIDATES)

        def ask() -> dict[str, Any]:
            data = {"collection": self._collection, "limit": str(most)}
            files, began = [("image", ("a.jpg", read_photo(photo)))], time.perf_counter()
            answer = self._server.send("POST", "/recognize", data=data, files=files)
            seconds = time.perf_counter() - began
            faces = answer.get("faces")
            return {
                "said": said_in(answer),
                "seconds": seconds,
                "stated": answer.get("false_match_rate"),
                "candidates": [
                    [one["subject"], one["similarity"], one["decision"] == "match"] for one in faces[0]["candidates"]
                ]
                if faces
                else None,
            }

        found = self._idempotency_records.ask(f"search {self._collection} {identity_of(photo)} {most}", ask)
        self._server.note(found["said"])
        if found["candidates"] is None:
            return Searched(None, found["seconds"])
        best: dict[str, Hit] = {}
        for subject, similarity, is_match in found["candidates"]:  # best first
            key, box = self._faces.get(subject, (subject, None))
            best.setdefault(key, Hit(key, similarity, is_match, box))
        return Searched(list(best.values()), found["seconds"], found["stated"])


def said_in(answer: dict[str, Any]) -> dict[str, Any]:
    """What of an answer describes the system."""
    return {name: answer[name] for name in _SAID if name in answer}


def _place(box: dict[str, float], width: int, height: int) -> list[float]:
    return [box["x"] / width, box["y"] / height, box["width"] / width, box["height"] / height]
