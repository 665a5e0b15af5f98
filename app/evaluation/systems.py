"""What is evaluated: the pipeline in this process, Vultus's own API, or any server that speaks Rekognition."""

import base64
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import botocore.session
import httpx
import numpy as np
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.domain import ONE_TO_ONE, Analysis, Calibration, Detail, Embedding, Face
from app.errors import AppError, OperatorError
from app.evaluation.answers import Answers
from app.matcher.thresholds import Thresholds
from app.ml.analysis import Embed, FaceAnalyzer

MISSING = float("-inf")
_RETRIES = 10
_TIMEOUT_S = 60
_MOST_CANDIDATES = 100  # that the native API answers
_PHOTO_CODES = ("image_", "no_face", "face_", "several_faces", "no_image_accepted")
"""What is wrong with a photo or the face in it, not with the call."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Something enrolled that a search found; `is_match`: by what the system itself decided, if it decides."""

    key: str
    similarity: float
    is_match: bool = True


class System(Protocol):
    """Enrols photos under keys, searches, compares; -inf and None where no face was found."""

    def describe(self) -> dict[str, Any]:
        """What it is: pack, digest, detector settings, threshold, as far as it says."""

    def compare(self, first: Path, second: Path) -> float:
        """The similarity of two photos' faces."""

    def enroll(self, key: str, photo: Path, *, everybody: bool = False) -> int:
        """Store the photo's face, or all of them; how many."""

    def search(self, photo: Path, limit: int) -> list[Hit] | None:
        """What is enrolled, the most similar first; None without a face."""


class Embeds(Protocol):
    """Makes embeddings of photos."""

    def embed(self, photo: Path) -> Embedding | None:
        """The photo's face; None without one."""


class Nearest:
    """Which of an image's faces is meant: the one nearest its middle, or the largest."""

    def __init__(self, *, central: bool) -> None:
        self.central = central

    def choose(self, faces: list[Face] | tuple[Face, ...], width: int, height: int) -> int:
        """The place of the face."""
        if not self.central:
            return 0

        def distance(index: int) -> float:
            box = faces[index].box
            return (box.x + box.width / 2 - width / 2) ** 2 + (box.y + box.height / 2 - height / 2) ** 2

        return min(range(len(faces)), key=distance)


class InProcess:
    """The pipeline of this installation, and an exact search."""

    def __init__(self, analyzer: FaceAnalyzer, answers: Answers, *, central: bool) -> None:
        self._analyzer = analyzer
        self._answers = answers
        self._nearest = Nearest(central=central)
        self._keys: list[str] = []
        self._enrolled: list[Embedding] = []

    def describe(self) -> dict[str, Any]:
        """See `System`."""
        info = self._analyzer.engine.info
        return {
            "system": "in process", "pack": info.pack, "digest": info.digest, "recognizer": info.recognizer,
            "providers": list(info.providers), "precision": info.precision,
            "detection_threshold": info.detection_threshold, "detail": Detail.STANDARD.value,
            "face": "central" if self._nearest.central else "largest", "calibration": info.calibration.source,
            "threshold_of_claims": Thresholds.of(info.calibration, ONE_TO_ONE, 1).match,
        }  # fmt: skip

    @property
    def calibration(self) -> Calibration:
        """The recogniser's."""
        return self._analyzer.engine.info.calibration

    def embed(self, photo: Path) -> Embedding | None:
        """The photo's face; None without one."""
        found = self._embeddings(photo, everybody=False)
        return found[0] if found else None

    def compare(self, first: Path, second: Path) -> float:
        """See `System`."""
        one, other = self.embed(first), self.embed(second)
        return MISSING if one is None or other is None else float(one @ other)

    def enroll(self, key: str, photo: Path, *, everybody: bool = False) -> int:
        """See `System`."""
        found = self._embeddings(photo, everybody=everybody)
        self._keys += [key] * len(found)
        self._enrolled += found
        return len(found)

    def search(self, photo: Path, limit: int) -> list[Hit] | None:
        """See `System`."""
        probe = self.embed(photo)
        if probe is None:
            return None
        if not self._enrolled:
            return []
        best: dict[str, float] = {}
        for key, similarity in zip(self._keys, (np.stack(self._enrolled) @ probe).tolist(), strict=True):
            best[key] = max(similarity, best.get(key, -1.0))
        ranked = sorted(best.items(), key=lambda one: (-one[1], one[0]))
        return [Hit(key, similarity) for key, similarity in ranked[:limit]]

    def forget(self) -> None:
        """Begin with an empty gallery."""
        self._keys, self._enrolled = [], []

    def _embeddings(self, photo: Path, *, everybody: bool) -> list[Embedding]:
        key = f"{'all' if everybody else 'one'} {identity_of(photo)}"
        if key not in self._answers:
            self._answers.put(key, [pack_embedding(one) for one in self._analyze(photo, everybody)])
        return [unpack_embedding(one) for one in self._answers.get(key)]

    def _analyze(self, photo: Path, everybody: bool) -> list[Embedding]:
        def choose(faces: Any) -> list[int]:
            if everybody or not faces:
                return list(range(len(faces)))
            return [self._nearest.choose(faces, *size)]

        data = _read(photo)
        try:
            size = _size_of(data)
            analysis: Analysis = self._analyzer.analyze(data, Embed.ALL if everybody else choose)
        except AppError:
            return []
        return list(analysis.embeddings)


def identity_of(photo: Path) -> str:
    """A photo's place, size and time: another photo under the same name is another. Raises `OperatorError`."""
    try:
        found = photo.stat()
    except OSError as exc:
        raise OperatorError(f"{photo} cannot be read: {exc.strerror}.") from exc
    return f"{photo.resolve()} {found.st_size} {found.st_mtime_ns}"


def _read(photo: Path) -> bytes:
    try:
        return photo.read_bytes()
    except OSError as exc:
        raise OperatorError(f"{photo} cannot be read: {exc.strerror}.") from exc


def _size_of(data: bytes) -> tuple[int, int]:
    from app.ml.image import ImageLimits, open_photo  # noqa: PLC0415 - as the pipeline sees it, turned upright

    photo = open_photo(data, ImageLimits(max_bytes=1 << 30, max_pixels=1 << 30))
    return photo.width, photo.height


def pack_embedding(embedding: Embedding) -> str:
    """An embedding as text, for `Answers`."""
    return base64.b64encode(embedding.astype(np.float32).tobytes()).decode()


def unpack_embedding(text: str) -> Embedding:
    """What `pack_embedding` wrote."""
    return np.frombuffer(base64.b64decode(text), dtype=np.float32)


class VultusServer:
    """Vultus over its public API, with an API key (VULTUS_API_KEY) that may register, recognise and delete."""

    def __init__(self, url: str) -> None:
        key = os.environ.get("VULTUS_API_KEY")
        if not key:
            raise OperatorError("Set VULTUS_API_KEY to an API key with the scopes register, recognize and delete.")
        self._client = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1", headers={"authorization": f"Bearer {key}"}, timeout=_TIMEOUT_S
        )
        self._collection = f"eval-{uuid4().hex[:12]}"
        self._said: dict[str, Any] = {}
        self._key_of: dict[str, str] = {}
        """Of the subjects that stand for faces of photos in which everybody was enrolled."""

    def describe(self) -> dict[str, Any]:
        """See `System`."""
        return {"system": "Vultus API", "most_faces_a_search": _MOST_CANDIDATES, **self._said}

    def compare(self, first: Path, second: Path) -> float:
        """See `System`; the first photo's largest face with the most similar of the second's."""
        files = [("source", ("a.jpg", _read(first))), ("target", ("b.jpg", _read(second)))]
        answer = self._send("POST", "/compare", files=files)
        targets = answer.get("targets")
        return float(targets[0]["similarity"]) if targets else MISSING

    def enroll(self, key: str, photo: Path, *, everybody: bool = False) -> int:
        """See `System`."""
        if everybody:
            data = {"collection": self._collection, "external_image_id": key}
            answer = self._send("POST", "/register/all", data=data, files=[("image", ("a.jpg", _read(photo)))])
            stored = [one["subject"] for one in answer.get("stored", ())]
            self._key_of |= dict.fromkeys(stored, key)
            return len(stored)
        data = {"subject": key, "collection": self._collection, "face": "largest"}
        answer = self._send("POST", "/register", data=data, files=[("images", ("a.jpg", _read(photo)))])
        return len(answer.get("templates", ()))

    def search(self, photo: Path, limit: int) -> list[Hit] | None:
        """See `System`."""
        data = {"collection": self._collection, "limit": str(min(limit, _MOST_CANDIDATES))}
        answer = self._send("POST", "/recognize", data=data, files=[("image", ("a.jpg", _read(photo)))])
        self._said = {name: answer[name] for name in ("recognizer", "threshold", "calibration") if name in answer}
        faces = answer.get("faces")
        if not faces:
            return None
        best: dict[str, Hit] = {}
        for one in faces[0]["candidates"]:  # best first
            key = self._key_of.get(one["subject"], one["subject"])
            best.setdefault(key, Hit(key, one["similarity"], one["decision"] == "match"))
        return list(best.values())

    def _send(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """The answer; empty where the photo, or the face in it, was refused. Raises `OperatorError` for all else."""
        try:
            for _ in range(_RETRIES):
                answer = self._client.request(method, path, **more)
                if answer.status_code not in (429, 503):
                    break
                time.sleep(float(answer.headers.get("retry-after", 1)))
            body: dict[str, Any] = answer.json() if answer.content else {}
        except httpx.HTTPError as exc:
            raise OperatorError(f"{self._client.base_url}: {exc or type(exc).__name__}") from exc
        except ValueError as exc:
            raise OperatorError(f"{path}: {answer.status_code}, and no JSON: is this a Vultus?") from exc
        if answer.is_error and str(body.get("code", "")).startswith(_PHOTO_CODES):
            return {}
        if answer.is_error:
            raise OperatorError(f"{path}: {answer.status_code} {body.get('detail', '')}")
        return body

    @contextmanager
    def collection(self) -> Iterator[None]:
        """A collection of its own, erased when the block ends; that it can be is tried before a photo is in it."""
        own = f"/collections/{self._collection}"
        self._send("POST", "/collections", json={"name": self._collection})
        self._send("DELETE", own)
        self._send("POST", "/collections", json={"name": self._collection})
        try:
            yield
        finally:
            with _named(self._collection):
                self._send("DELETE", own)
            self._client.close()


class RekognitionServer:
    """Any server that speaks Rekognition, AWS's own included; keys from AWS's usual variables."""

    def __init__(self, endpoint: str, region: str) -> None:
        config = Config(retries={"mode": "standard", "total_max_attempts": _RETRIES})
        session = botocore.session.get_session()
        try:
            self._client: Any = session.create_client(
                "rekognition", endpoint_url=endpoint or None, region_name=region, config=config
            )
        except (ValueError, BotoCoreError) as exc:
            raise OperatorError(f"--rekognition {endpoint}: {exc}") from exc
        self._endpoint = endpoint
        self._collection = f"eval-{uuid4().hex[:12]}"
        self._version = ""

    def describe(self) -> dict[str, Any]:
        """See `System`; similarities are percentages."""
        return {"system": "Rekognition", "endpoint": self._endpoint or "AWS", "face_model_version": self._version}

    def compare(self, first: Path, second: Path) -> float:
        """See `System`; the first photo's largest face with the most similar of the second's, in percent."""
        images = {"SourceImage": _image(first), "TargetImage": _image(second), "SimilarityThreshold": 0}
        answer = self._ask(self._client.compare_faces, **images)
        matches = answer.get("FaceMatches") if answer else None
        return float(matches[0]["Similarity"]) if matches else MISSING

    def enroll(self, key: str, photo: Path, *, everybody: bool = False) -> int:
        """See `System`."""
        most = {} if everybody else {"MaxFaces": 1}
        answer = self._ask(
            self._client.index_faces, CollectionId=self._collection, Image=_image(photo), ExternalImageId=key, **most
        )
        return len(answer["FaceRecords"]) if answer else 0

    def search(self, photo: Path, limit: int) -> list[Hit] | None:
        """See `System`."""
        answer = self._ask(
            self._client.search_faces_by_image, CollectionId=self._collection, Image=_image(photo),
            FaceMatchThreshold=0, MaxFaces=min(4096, max(limit * 10, 100)),
        )  # fmt: skip
        if answer is None:
            return None
        self._version = answer.get("FaceModelVersion", "")
        best: dict[str, float] = {}
        for match in answer["FaceMatches"]:
            key = match["Face"].get("ExternalImageId", "")
            best[key] = max(match["Similarity"], best.get(key, 0.0))
        ranked = sorted(best.items(), key=lambda one: (-one[1], one[0]))
        return [Hit(key, similarity) for key, similarity in ranked[:limit]]

    def _ask(self, call: Callable[..., Any], **parameters: Any) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = call(**parameters)
        except ClientError as exc:
            code = exc.response["Error"]["Code"]
            message = exc.response["Error"]["Message"]
            # AWS: "There are no faces in the image", also as an invalid parameter.
            is_of_photo = code in ("InvalidImageFormatException", "ImageTooLargeException") or "no face" in message
            if is_of_photo or (code == "InvalidParameterException" and "face" in message.lower()):
                return None
            raise OperatorError(f"{code}: {message}") from exc
        except BotoCoreError as exc:
            raise OperatorError(str(exc)) from exc
        return answer

    @contextmanager
    def collection(self) -> Iterator[None]:
        """A collection of its own, deleted when the block ends; that it can be is tried before a photo is in it."""
        own = {"CollectionId": self._collection}
        self._ask(self._client.create_collection, **own)
        self._ask(self._client.delete_collection, **own)
        self._ask(self._client.create_collection, **own)
        try:
            yield
        finally:
            with _named(self._collection):
                self._ask(self._client.delete_collection, **own)


def _image(photo: Path) -> dict[str, bytes]:
    return {"Bytes": _read(photo)}


@contextmanager
def _named(collection: str) -> Iterator[None]:
    """Whoever cannot be rid of a collection is told its name."""
    try:
        yield
    except OperatorError as exc:
        raise OperatorError(f"Collection {collection} is still there, with faces in it: delete it. ({exc})") from exc
