"""Anything that speaks Rekognition, AWS's own included."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.domain.faces import RelativeBox
from app.errors import OperatorError
from app.evaluation.answers import Answers
from app.evaluation.systems.photos import identity_of, read_photo
from app.evaluation.systems.protocol import MISSING, Enrolled, Hit, Searched

_RETRIES = 10
_MATCH = 80.0
"""The similarity, in percent, from which on Rekognition calls two faces a match unless it is told otherwise."""
_MAX_FACES = 4096  # that a search answers


class RekognitionServer:
    """See `System`; similarities are percentages, keys come from AWS's usual variables."""

    def __init__(self, endpoint: str, region: str, answers: Answers) -> None:
        config = Config(retries={"mode": "standard", "total_max_attempts": _RETRIES})
        session = botocore.session.get_session()
        try:
            self._client: Any = session.create_client(
                "rekognition", endpoint_url=endpoint or None, region_name=region, config=config
            )
        except (ValueError, BotoCoreError) as exc:
            raise OperatorError(f"--rekognition {endpoint}: {exc}") from exc
        self._endpoint = endpoint
        self._idempotency_records = answers
        self._version = ""

    def describe(self) -> dict[str, Any]:
        """See `System`."""
        return {
            "system": "Rekognition",
            "endpoint": self._endpoint or "AWS",
            "face_model_version": self._version,
            "threshold": _MATCH,
        }

    def compare(self, first: Path, second: Path) -> float:
        """See `System`; the first photo's largest face with the most similar of the second's, in percent."""

        def ask() -> float | None:
            images = {"SourceImage": _image(first), "TargetImage": _image(second), "SimilarityThreshold": 0}
            answer = self.ask("compare_faces", images)
            matches = answer.get("FaceMatches") if answer else None
            return float(matches[0]["Similarity"]) if matches else None

        found = self._idempotency_records.ask(f"compare {identity_of(first)} {identity_of(second)}", ask)
        return MISSING if found is None else float(found)

    def locate(self, photo: Path) -> RelativeBox | None:
        """See `System`: the largest face."""
        answer = self.ask("detect_faces", {"Image": _image(photo)})
        boxes = [RelativeBox(*_place(face["BoundingBox"])) for face in answer["FaceDetails"]] if answer else []
        return max(boxes, key=lambda box: box.width * box.height, default=None)

    @contextmanager
    def gallery(self, name: str) -> Iterator["RekognitionGallery"]:
        """See `System`."""
        with self._idempotency_records.collection(name, self._create, self._erase) as collection:
            yield RekognitionGallery(self, self._idempotency_records, collection)

    def abandon(self) -> None:
        """See `System`."""
        self._idempotency_records.abandon(self._erase)

    def note_version(self, version: str) -> None:
        """Keep which face model answers."""
        self._version = version

    def ask(self, operation: str, parameters: dict[str, Any], *, or_gone: bool = False) -> dict[str, Any] | None:
        """The answer; None where the photo was refused or shows no face, or the collection is not there and that is as
        well. Raises `OperatorError` for all else."""
        if any(image == {"Bytes": b""} for image in parameters.values()):  # which is no question to ask
            return None
        call: Callable[..., dict[str, Any]] = getattr(self._client, operation)
        try:
            return call(**parameters)
        except ClientError as exc:
            code = exc.response["Error"]["Code"]
            message = exc.response["Error"]["Message"]
            # AWS: "There are no faces in the image", also as an invalid parameter.
            is_of_photo = code in ("InvalidImageFormatException", "ImageTooLargeException") or "no face" in message
            if is_of_photo or (code == "InvalidParameterException" and "face" in message.lower()):
                return None
            if or_gone and code == "ResourceNotFoundException":
                return None
            raise OperatorError(f"{code}: {message}") from exc
        except BotoCoreError as exc:
            raise OperatorError(str(exc)) from exc

    def _create(self, collection: str) -> None:
        self.ask("create_collection", {"CollectionId": collection})

    def _erase(self, collection: str) -> None:
        """Whoever erased it by hand did no harm."""
        self.ask("delete_collection", {"CollectionId": collection}, or_gone=True)


class RekognitionGallery:
    """See `Gallery`: a collection, whose faces bear their keys as external image ids."""

    def __init__(self, server: RekognitionServer, answers: Answers, collection: str) -> None:
        self._server = server
        self._idempotency_records = answers
        self._collection = collection

    def enroll(self, key: str, photo: Path, *, everybody: bool = False) -> Enrolled:
        """See `Gallery`."""

        def ask() -> dict[str, Any]:
            most = {} if everybody else {"MaxFaces": 1}
            image, began = _image(photo), time.perf_counter()
            asked = {"CollectionId": self._collection, "Image": image, "ExternalImageId": key, **most}
            answer = self._server.ask("index_faces", asked)
            return {"faces": len(answer["FaceRecords"]) if answer else 0, "seconds": time.perf_counter() - began}

        found = self._idempotency_records.ask(f"enroll {self._collection} {key} {identity_of(photo)}", ask)
        return Enrolled(found["faces"], found["seconds"])

    def search(self, photo: Path, limit: int) -> Searched:
        """See `Gallery`."""
        most = min(_MAX_FACES, max(limit * 10, 100))

        def ask() -> dict[str, Any]:
            image, began = _image(photo), time.perf_counter()
            asked = {
                "CollectionId": self._collection,
                "Image": image,
                "FaceMatchThreshold": 0,
                "MaxFaces": most,
            }
            answer = self._server.ask("search_faces_by_image", asked)
            seconds = time.perf_counter() - began
            if answer is None:
                return {"matches": None, "seconds": seconds, "version": ""}
            matches = [
                [match["Face"].get("ExternalImageId", ""), match["Similarity"], _place(match["Face"]["BoundingBox"])]
                for match in answer["FaceMatches"]
            ]
            return {"matches": matches, "seconds": seconds, "version": answer.get("FaceModelVersion", "")}

        found = self._idempotency_records.ask(f"search {self._collection} {identity_of(photo)} {most}", ask)
        if found["matches"] is None:
            return Searched(None, found["seconds"])
        self._server.note_version(found["version"])
        best: dict[str, Hit] = {}
        for key, similarity, box in sorted(found["matches"], key=lambda match: -match[1]):
            best.setdefault(key, Hit(key, similarity, similarity >= _MATCH, RelativeBox(*box)))
        return Searched(list(best.values())[:limit], found["seconds"])


def _image(photo: Path) -> dict[str, bytes]:
    return {"Bytes": read_photo(photo)}


def _place(box: dict[str, float]) -> list[float]:
    return [box["Left"], box["Top"], box["Width"], box["Height"]]
