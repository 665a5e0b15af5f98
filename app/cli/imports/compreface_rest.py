"""Read a recognition service of CompreFace over its REST API."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx

from app.cli.imports.people import Catalog, Photo, PhotoMissing
from app.errors import OperatorError

NO_PHOTO = "CompreFace has no saved photo of this example (SAVE_IMAGES_TO_DB was off when it was added)."

_PAGE = 500
_TIMEOUT_S = 60
_TRIES = 5
_PAUSE_S = 1.0
_OK, _NOT_FOUND, _FAILED = 200, 404, 500


@contextmanager
def open_rest(url: str, key: str, consent: str | None) -> Iterator[tuple[str, Catalog]]:
    """List a service's people and photos, which can be read in the block; yields the source's name with them."""
    if not key:
        raise OperatorError("Set COMPREFACE_API_KEY to the API key of CompreFace's recognition service.")
    try:
        client = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1/recognition", headers={"x-api-key": key}, timeout=_TIMEOUT_S
        )
    except (ValueError, httpx.InvalidURL) as exc:
        raise OperatorError(f"--from {url!r}: {exc}") from exc
    with client:
        service = _Service(client, url)
        yield f"CompreFace at {url}", service.catalog(consent)


class _Service:
    """Reads the service; any method raises `OperatorError` if it is lost or answers something else."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self._url = url

    def catalog(self, consent: str | None) -> Catalog:
        catalog, with_photos = Catalog(), set[str]()
        for face in self._faces():
            name, image_id = _text(face, "subject"), _text(face, "image_id")
            person = catalog.person(name, consent=consent)
            with_photos.add(name)
            if person is not None:
                catalog.photos.append(Photo(image_id, person, partial(self._load, image_id), image_id))
        for name in self._read("/subjects").get("subjects", ()):
            if isinstance(name, str) and name not in with_photos and (person := catalog.person(name, consent=consent)):
                catalog.people.append(person)
        return catalog

    def _faces(self) -> Iterator[dict[str, Any]]:
        page = 0
        while True:
            listed = self._read("/faces", page=page, size=_PAGE)
            faces = listed.get("faces") or []
            yield from faces
            page += 1
            if not faces or page >= int(listed.get("total_pages") or 0):
                return

    def _load(self, image_id: str) -> bytes:
        response = self._get(f"/faces/{image_id}/img")
        if response.status_code not in (_OK, _NOT_FOUND):
            raise PhotoMissing(f"CompreFace answered status {response.status_code}.")
        if response.status_code == _NOT_FOUND or not response.content:
            raise PhotoMissing(NO_PHOTO)
        return response.content

    def _read(self, path: str, **query: int) -> dict[str, Any]:
        response = self._get(path, **query)
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or response.is_error:
            message = body.get("message") if isinstance(body, dict) else None
            raise OperatorError(f"--from {self._url}{path}: status {response.status_code}: {message or 'no JSON'}")
        return body

    def _get(self, path: str, **query: int) -> httpx.Response:
        for attempt in range(1, _TRIES + 1):
            try:
                response = self._client.get(path, params=query)
            except httpx.TransportError as exc:
                if attempt == _TRIES:
                    raise OperatorError(f"--from {self._url}: {exc or type(exc).__name__}") from exc
            else:
                if response.status_code < _FAILED or attempt == _TRIES:
                    return response
            time.sleep(_PAUSE_S)
        raise AssertionError  # the last try returns or raises


def _text(face: Any, member: str) -> str:
    value = face.get(member) if isinstance(face, dict) else None
    if not isinstance(value, str):
        raise OperatorError(f"CompreFace listed a face without {member}; is --from its address?")
    return value
