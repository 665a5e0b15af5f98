"""Albums of a running Vultus: photos are uploaded, processed by its workers, and found by a selfie."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.domain.faces import RelativeBox
from app.errors import OperatorError
from app.evaluation.answers import Answers
from app.evaluation.systems.photos import identity_of, read_photo
from app.evaluation.systems.protocol import Enrolled, Gallery, Hit, Searched
from app.evaluation.systems.vultus import VultusServer

_PAGE = 1000
_POLL_S = 0.5
_PATIENCE_S = 600.0
"""How long no photo may be processed before the run gives up."""


class VultusAlbums(VultusServer):
    """Implements `System`, with albums as galleries."""

    @contextmanager
    def gallery(self, name: str) -> Iterator[Gallery]:
        with self._answers.collection(f"album {name}", self._create, self._erase) as album:
            yield VultusAlbum(self, self._answers, album)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "system": "Vultus API, album"}

    def _create(self, collection: str) -> None:
        self.send("POST", "/albums", json={"id": collection})


class VultusAlbum:
    """Implements `Gallery` as an album. Photos are uploaded one by one, and processed until `finish` returns."""

    def __init__(self, server: VultusServer, answers: Answers, album: str) -> None:
        self._server = server
        self._answers = answers
        self._album = album

    def enroll(self, key: str, photo: Path, *, all_faces: bool = False) -> Enrolled:
        """Upload the photo; raises `OperatorError` unless all its faces are wanted."""
        if not all_faces:
            raise OperatorError("An album stores all faces of a photo; use a collection for this evaluation.")

        def upload() -> float:
            started, files = time.perf_counter(), [("image", ("a.jpg", read_photo(photo)))]
            self._server.send("PUT", f"/albums/{self._album}/photos/{key}", files=files)
            return time.perf_counter() - started

        seconds = self._answers.get_or_compute(f"upload {self._album} {key} {identity_of(photo)}", upload)
        return Enrolled(0, seconds)

    def finish(self) -> int:
        seen, changed_at = None, time.monotonic()
        while True:
            counts: dict[str, int] = self._server.send("GET", f"/albums/{self._album}")["photos"]
            if not counts["received"] + counts["working"]:
                return counts["faces"]
            if counts != seen:
                seen, changed_at = counts, time.monotonic()
            if time.monotonic() - changed_at > _PATIENCE_S:
                raise OperatorError(f"No photo was processed for {_PATIENCE_S:g} s. Is a `vultus worker` running?")
            time.sleep(_POLL_S)

    def search(self, photo: Path, limit: int) -> Searched:
        """Search with the photo's largest face. Only photos of the decision `review` or `match` are returned."""
        size = min(limit, _PAGE)

        def compute() -> dict[str, Any]:
            files, started = [("images", ("a.jpg", read_photo(photo)))], time.perf_counter()
            response = self._server.send(
                "POST", f"/albums/{self._album}/search", data={"limit": str(size)}, files=files
            )
            seconds = time.perf_counter() - started
            found = [_describe(item) for item in response["items"]] if response else None
            said = {name: response[name] for name in ("recognizer", "calibration", "threshold") if name in response}
            return {"said": said, "seconds": seconds, "stated": response.get("false_match_rate"), "found": found}

        answer = self._answers.get_or_compute(f"search {self._album} {identity_of(photo)} {size}", compute)
        self._server.set_description(answer["said"])
        if answer["found"] is None:
            return Searched(None, answer["seconds"])
        hits = [
            Hit(key, similarity, is_match, RelativeBox(*box) if box else None)
            for key, similarity, is_match, box in answer["found"]
        ]
        return Searched(hits, answer["seconds"], answer["stated"])


def _describe(item: dict[str, Any]) -> list[Any]:
    """Return a found photo's key, similarity, whether it is a match, and the box of its most similar face."""
    best = item["faces"][0]
    box = best["bounding_box"]
    shown = [box[side] for side in ("left", "top", "width", "height")] if box else None
    is_match = any(face["decision"] == "match" for face in item["faces"])
    return [item["external_id"], best["similarity"], is_match, shown]
