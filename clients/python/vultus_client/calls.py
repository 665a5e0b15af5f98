"""Describe requests without sending them; both clients send the same ones."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote
from uuid import uuid4

import httpx

from vultus_client.photos import Photo, is_url, read_photo

PREFIX = "/api/v1"
PAGE = 200
_SAFE = frozenset({"GET", "PUT", "DELETE"})
T = TypeVar("T")


@dataclass(slots=True)
class Call(Generic[T]):
    """One request that is answered with a `T`. `can_repeat`: sending it twice does no harm."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    form: Mapping[str, Any] | None = None
    files: Sequence[tuple[str, Any]] = ()
    headers: dict[str, str] = field(default_factory=dict)
    can_repeat: bool = False
    timeout_s: float | None = None
    is_public: bool = False

    def __post_init__(self) -> None:
        self.can_repeat = self.can_repeat or self.method in _SAFE

    def build(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Return the request; each attempt needs a new one."""
        timeout: dict[str, Any] = {} if self.timeout_s is None else {"timeout": self.timeout_s}
        return http.build_request(
            self.method,
            PREFIX + self.path,
            params=encode_fields(self.query),
            json=self.body,
            data=None if self.form is None else encode_fields(self.form),
            files=self.files or None,
            headers=self.headers,
            **timeout,
        )


def keyed(call: Call[T], key: str | None = None) -> Call[T]:
    """Return the call with an Idempotency-Key, which the client makes unless the caller gives one."""
    call.headers["idempotency-key"] = key or str(uuid4())
    call.can_repeat = True
    return call


def path(*parts: str) -> str:
    """Return a path with each part encoded."""
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def encode_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not None as a query or form has them: ISO 8601, and JSON for the rest."""
    return {name: _encode(value) for name, value in fields.items() if value is not None}


def _encode(value: Any) -> Any:
    if isinstance(value, bool | Mapping):
        return json.dumps(value)
    return value.isoformat() if isinstance(value, date) else value


def body(**fields: Any) -> dict[str, Any]:
    """Return a JSON body of the fields that are not None; times become text."""
    return {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in fields.items()
        if value is not None
    }


def with_photos(call_path: str, photos: Mapping[str, Photo | Sequence[Photo]], **fields: Any) -> Call[T]:
    """Return a POST of photos by their fields: files and arrays as a form; URLs, which the server fetches, as text.

    A sequence is sent as several photos of a field. Raises `ValueError` where URLs and files are mixed in one field.
    """
    form, files = dict(fields), list[tuple[str, Any]]()
    for name, sent in photos.items():
        given = list_photos(sent)
        urls = [one for one in given if is_url(one)]
        if urls and len(urls) < len(given):
            raise ValueError(f"{name}: give either URLs or files in one call")
        if urls:
            form[f"{name.removesuffix('s')}_urls" if name.endswith("s") else f"{name}_url"] = urls
        files += [(name, read_photo(one)) for one in given if not is_url(one)]
    if not files:  # httpx sends a form without files as urlencoded, which the API does not take
        return Call("POST", call_path, body=_as_json(form))
    return Call("POST", call_path, form=form, files=files)


def list_photos(photos: Photo | Sequence[Photo]) -> list[Photo]:
    """Return one photo, or several, as a list."""
    if isinstance(photos, list | tuple):
        return list(photos)
    return [cast(Photo, photos)]


def reading(call_path: str, photos: Mapping[str, Photo | Sequence[Photo]], **fields: Any) -> Call[T]:
    """Return a call with photos to a route that stores nothing, so that it may be sent again."""
    call: Call[T] = with_photos(call_path, photos, **fields)
    call.can_repeat = True
    return call


def _as_json(form: Mapping[str, Any]) -> dict[str, Any]:
    sent = body(**form)
    return {
        name: value[0] if name.endswith("_url") and isinstance(value, list) else value for name, value in sent.items()
    }


def decode(response: httpx.Response) -> Any:
    """Return the answer: a JSON document, text, bytes, or None if there is none. The body must have been read."""
    kind = response.headers.get("content-type", "")
    if not response.content:
        return None
    if kind.startswith("application/json"):
        return response.json()
    return response.text if kind.startswith("text/") else response.content
