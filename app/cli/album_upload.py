"""Send the photos of a directory or manifest to an album, several at the same time, and go on after interruptions."""

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from app.cli.album_client import AlbumClient, Refused
from app.cli.photo_manifest import AlbumPhotoFile
from app.cli.progress import ProgressDisplay
from app.errors import OperatorError

_OF_THE_ALBUM = ("album_closed", "album_not_found")
_OF_THE_CALLER = (401, 403)


@dataclass
class Upload:
    """How many photos were sent, how many the server had already, and (photo, code, detail) of those refused."""

    sent: int = 0
    skipped: int = 0
    refused: list[tuple[str, str, str]] = field(default_factory=list)


def upload_photos(
    client: AlbumClient, album: str, photos: list[AlbumPhotoFile], progress: ProgressDisplay, connections: int
) -> Upload:
    """Send the photos that the album does not have, and those that failed there.

    Raises `Refused` if it takes no photos at all, or `OperatorError`.
    """
    done, lock = Upload(), threading.Lock()
    known = {photo["external_id"] for photo in client.list_photos(album) if photo["state"] != "failed"}
    missing = [photo for photo in photos if photo.external_id not in known]
    done.skipped = len(photos) - len(missing)
    steps = progress.steps("Uploading", len(missing))

    def send(photo: AlbumPhotoFile) -> None:
        refusal = _send(client, album, photo)
        with lock:
            if refusal is None:
                done.sent += 1
            else:
                done.refused.append((photo.external_id, *refusal))
        steps.advance()

    with ThreadPoolExecutor(connections) as pool:
        sending = [pool.submit(send, photo) for photo in missing]
        try:
            for one in as_completed(sending):
                one.result()
        except BaseException:
            client.end()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return done


def _send(client: AlbumClient, album: str, photo: AlbumPhotoFile) -> tuple[str, str] | None:
    """Send one photo; return the code and detail if it cannot be sent."""
    try:
        content = Path(photo.path).read_bytes()
    except OSError as exc:
        return "file_unreadable", exc.strerror or type(exc).__name__
    try:
        client.put_photo(album, photo.external_id, content)
    except Refused as exc:
        if exc.code in _OF_THE_ALBUM or exc.status in _OF_THE_CALLER:
            raise
        if exc.status >= 500:
            raise OperatorError(f"{photo.external_id}: {exc}") from exc
        return exc.code, exc.detail
    return None
