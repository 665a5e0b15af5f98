"""Tell which paths take photos. All other request bodies are small, except imports."""

import re

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

_GUEST_PATH = f"{API}/guest/search"
_ALBUM_PATH = re.compile(rf"{API}/albums/[^/]+/(photos(/.*)?|search)")


def takes_photos(path: str) -> bool:
    """Return whether a path belongs to a route that takes photos."""
    return (
        path in IMAGE_PATHS
        or path == _GUEST_PATH
        or (path.startswith(f"{API}/albums/") and _ALBUM_PATH.fullmatch(path) is not None)
    )
