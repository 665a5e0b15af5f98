"""List every error code by topic, for the page `/docs/errors` and for docs/reference/errors.md."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.errors.access import AuthenticationFailed, PermissionDenied
from app.errors.availability import TooManyRequests, Unavailable
from app.errors.base import AppError
from app.errors.images import FaceRefused, ImageRefused, NoImageAccepted
from app.errors.requests import RequestRefused
from app.errors.resources import Conflict, NotFound

_TOPICS: dict[str, tuple[type[AppError], ...]] = {
    "The request": (RequestRefused,),
    "The image": (ImageRefused, NoImageAccepted),
    "The face": (FaceRefused,),
    "The caller": (AuthenticationFailed, PermissionDenied, TooManyRequests),
    "The object": (NotFound, Conflict),
    "The service": (Unavailable, AppError),
}


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One code as the reference shows it."""

    code: str
    status: int
    meaning: str
    remedy: str


def list_error_codes() -> dict[str, list[ErrorCode]]:
    """Return the codes of each topic, by name; an error of no other topic is the service's."""
    topics: dict[str, list[ErrorCode]] = {}
    listed: set[str] = set()
    for topic, roots in _TOPICS.items():
        kinds = {kind.code: kind for root in roots for kind in _descend(root) if kind.code not in listed}
        listed |= set(kinds)
        topics[topic] = [_describe(kind) for _, kind in sorted(kinds.items())]
    return topics


def _descend(kind: type[AppError]) -> Iterator[type[AppError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _descend(narrower)


def _describe(kind: type[AppError]) -> ErrorCode:
    return ErrorCode(kind.code, kind.status, (kind.__doc__ or "").strip().splitlines()[0], kind.remedy)
