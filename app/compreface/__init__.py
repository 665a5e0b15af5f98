"""The CompreFace protocol (its REST API): unmodified CompreFace clients call the same services as the native API.

access.py        authenticates an API key, which must be limited to one collection: that collection is the service
call.py          one request: the caller's services, its photos, its transaction
options.py       reads the query parameters that several operations share
embeddings.py    reads bodies with embeddings
errors.py        translates our errors into CompreFace's codes
similarity.py    converts cosines to similarities between 0 and 1
faces_out.py     shows faces in the protocol's shapes
routing.py       serves each path with and without a slash at its end
subjects.py  faces.py  recognition.py  services.py     the operations
all_routes.py    lists them
"""

from collections.abc import Mapping

PREFIX = "/compreface"
"""What clients are given after the host and port: they append `/api/v1/...`."""

API = f"{PREFIX}/api/v1"

MAX_EMBEDDINGS = 20
MAX_EMBEDDINGS_BODY = 1024 * 1024
"""Bytes; an embedding of 512 numbers is about 11 KB."""
MAX_DELETED_FACES = 1_000
"""The number of faces that one request deletes by their ids."""


def is_compreface(path: str) -> bool:
    """Return whether a path belongs to this protocol."""
    return path.startswith(f"{PREFIX}/")


def takes_photos(path: str) -> bool:
    """Return whether a path may take photos."""
    return (
        is_compreface(path)
        and path.rstrip("/").endswith(("/faces", "/recognize", "/verify", "/detect"))
        and ("/embeddings/" not in path)
    )


def sends_photos(path: str, headers: Mapping[str, str]) -> bool:
    """Return whether a request runs inference: lists and erasures of faces have the same path, but no body."""
    return takes_photos(path) and ("content-length" in headers or "transfer-encoding" in headers)


def takes_embeddings(path: str) -> bool:
    """Return whether a path takes embeddings."""
    return is_compreface(path) and "/embeddings/" in path
