"""Tell which paths take photos, and which take long lists. All other request bodies are small, except imports."""

import re
from collections.abc import Mapping

from app.routes import API

IMAGE_PATHS = frozenset(
    f"{API}/{name}"
    for name in (
        "register",
        "register/all",
        "recognize",
        "recognize/batch",
        "verify",
        "compare",
        "compare/batch",
        "detect",
        "extract",
        "extract/batch",
    )
)
"""The routes whose whole path is fixed."""

MAX_LIST_BODY = 2 * 1024 * 1024
"""Bytes of a body with up to 1,000 names or decisions, or up to 10,000 ids."""

MAX_FIELDS_BYTES = 64 * 1024
"""Bytes of the text fields and part headers beside a video."""

_LIST_PATH = re.compile(rf"{API}/(sightings/decide|clusters/[^/]+/split|albums/[^/]+/(fetch|uploads|uploads/complete))")
_GUEST_PATH = f"{API}/guest/search"
VIDEOS_PATH = f"{API}/videos"
_VIDEO_SEARCH_PATH = f"{API}/videos/search"
_ALBUM_PATH = re.compile(rf"{API}/albums/[^/]+/(photos(/.*)?|search)")


def takes_photos(path: str) -> bool:
    """Return whether a path belongs to a route that takes photos."""
    return (
        path in IMAGE_PATHS
        or path in (_GUEST_PATH, _VIDEO_SEARCH_PATH)
        or (path.startswith(f"{API}/albums/") and _ALBUM_PATH.fullmatch(path) is not None)
    )


def brings_video(path: str, headers: Mapping[str, str]) -> bool:
    """Return whether a request's body is a video."""
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return path == VIDEOS_PATH and content_type == "multipart/form-data"


def is_json(headers: Mapping[str, str]) -> bool:
    """Return whether a request's body is JSON."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def takes_long_lists(path: str) -> bool:
    """Return whether a path belongs to a route that takes long lists of names or ids."""
    return _LIST_PATH.fullmatch(path) is not None
