"""Any server that speaks Rekognition, AWS included."""

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
_DEFAULT_THRESHOLD = 80.0
"""Rekognition's default similarity threshold, in percent."""
_MAX_FACES = 4096
"""The maximum number of faces that a search returns."""


class RekognitionServer:
    """Implements `System`; similarities are percentages. Access keys come from AWS's usual environment variables."""

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
        self._answers = answers
        self._version = ""

    def describe(self) -> dict[str, Any]:
        return {
            "system": "Rekognition",
            "endpoint": self._endpoint or "AWS",
            "face_model_version": self._version,
            "threshold": _DEFAULT_THRESHOLD,
        }

    def compare(self, first: Path, second: Path) -> float:
        """Return the similarity, in percent, of the first photo's largest face and the second's most similar one."""

        def compute() -> float | None:
            images = {"SourceImage": _image(first), "TargetImage": _image(second), "SimilarityThreshold": 0}
            response = self.call("compare_faces", images)
            matches = response.get("FaceMatches") if response else None
            return float(matches[0]["Similarity"]) if matches else None

        similarity = self._answers.get_or_compute(f"compare {identity_of(first)} {identity_of(second)}", compute)
        return MISSING if similarity is None else float(similarity)

    def locate(self, photo: Path) -> RelativeBox | None:
        """Return the box of the largest face."""
        response = self.call("detect_faces", {"Image": _image(photo)})
        boxes = [RelativeBox(*_box(face["BoundingBox"])) for face in response["FaceDetails"]] if response else []
        return max(boxes, key=lambda box: box.width * box.height, default=None)

    @contextmanager
    def gallery(self, name: str) -> Iterator["RekognitionGallery"]:
        with self._answers.collection(name, self._create, self._erase) as collection:
            yield RekognitionGallery(self, self._answers, collection)

    def erase_open_collections(self) -> None:
        self._answers.erase_open_collections(self._erase)

    def set_version(self, version: str) -> None:
        """Remember the version of the server's face model, for the report."""
        self._version = version

    def call(
        self, operation: str, parameters: dict[str, Any], *, ignore_missing: bool = False
    ) -> dict[str, Any] | None:
        """Return the response; None if the photo was refused or has no face.

        With `ignore_missing` also None if the collection does not exist. Raises `OperatorError` for all other errors.
        """
        if any(image == {"Bytes": b""} for image in parameters.values()):  # botocore refuses an empty image
            return None
        send: Callable[..., dict[str, Any]] = getattr(self._client, operation)
        try:
            return send(**parameters)
        except ClientError as exc:
            code = exc.response["Error"]["Code"]
            message = exc.response["Error"]["Message"]
            # AWS reports "There are no faces in the image" also as an invalid parameter.
            is_of_photo = code in ("InvalidImageFormatException", "ImageTooLargeException") or "no face" in message
            if is_of_photo or (code == "InvalidParameterException" and "face" in message.lower()):
                return None
            if ignore_missing and code == "ResourceNotFoundException":
                return None
            raise OperatorError(f"{code}: {message}") from exc
        except BotoCoreError as exc:
            raise OperatorError(str(exc)) from exc

    def _create(self, collection: str) -> None:
        self.call("create_collection", {"CollectionId": collection})

    def _erase(self, collection: str) -> None:
        """Delete the collection, unless somebody already did so by hand."""
        self.call("delete_collection", {"CollectionId": collection}, ignore_missing=True)


class RekognitionGallery:
    """Implements `Gallery` as a collection; keys are the external image ids of its faces."""

    def __init__(self, server: RekognitionServer, answers: Answers, collection: str) -> None:
        self._server = server
        self._answers = answers
        self._collection = collection

    def enroll(self, key: str, photo: Path, *, all_faces: bool = False) -> Enrolled:

        def compute() -> dict[str, Any]:
            max_faces = {} if all_faces else {"MaxFaces": 1}
            image, started = _image(photo), time.perf_counter()
            parameters = {"CollectionId": self._collection, "Image": image, "ExternalImageId": key, **max_faces}
            response = self._server.call("index_faces", parameters)
            seconds = time.perf_counter() - started
            return {"faces": len(response["FaceRecords"]) if response else 0, "seconds": seconds}

        answer = self._answers.get_or_compute(f"enroll {self._collection} {key} {identity_of(photo)}", compute)
        return Enrolled(answer["faces"], answer["seconds"])

    def finish(self) -> int:
        return 0

    def search(self, photo: Path, limit: int) -> Searched:
        max_faces = min(_MAX_FACES, max(limit * 10, 100))  # more than keys, since a key may have several faces

        def compute() -> dict[str, Any]:
            image, started = _image(photo), time.perf_counter()
            parameters = {
                "CollectionId": self._collection,
                "Image": image,
                "FaceMatchThreshold": 0,
                "MaxFaces": max_faces,
            }
            response = self._server.call("search_faces_by_image", parameters)
            seconds = time.perf_counter() - started
            if response is None:
                return {"matches": None, "seconds": seconds, "version": ""}
            matches = [
                [match["Face"].get("ExternalImageId", ""), match["Similarity"], _box(match["Face"]["BoundingBox"])]
                for match in response["FaceMatches"]
            ]
            return {"matches": matches, "seconds": seconds, "version": response.get("FaceModelVersion", "")}

        answer = self._answers.get_or_compute(f"search {self._collection} {identity_of(photo)} {max_faces}", compute)
        if answer["matches"] is None:
            return Searched(None, answer["seconds"])
        self._server.set_version(answer["version"])
        best: dict[str, Hit] = {}
        for key, similarity, box in sorted(answer["matches"], key=lambda match: -match[1]):
            best.setdefault(key, Hit(key, similarity, similarity >= _DEFAULT_THRESHOLD, RelativeBox(*box)))
        return Searched(list(best.values())[:limit], answer["seconds"])


def _image(photo: Path) -> dict[str, bytes]:
    return {"Bytes": read_photo(photo)}


def _box(box: dict[str, float]) -> list[float]:
    return [box["Left"], box["Top"], box["Width"], box["Height"]]
