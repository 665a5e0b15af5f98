"""Word error messages as AWS does, since programs compare them: AWS's sentence first, then ours where it says more.

AWS's sentences are those of its developer guide, "Error messages and codes", and of its JSON protocol for signatures.
The guide does not show its sentences for users; ours follow those for collections.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import (
    AppError,
    CollectionExists,
    CollectionNotFound,
    ConsentRequired,
    ConsentWithdrawn,
    FaceRefused,
    IdempotencyKeyReused,
    ImageEmpty,
    ImageRefused,
    ImageTooLarge,
    ImageTooManyPixels,
    InternalError,
    InvalidCursor,
    InvalidParameter,
    NoFace,
    NotFound,
    ObjectUnavailable,
    Overloaded,
    PermissionDenied,
    QuotaExceeded,
    RecognizerChanged,
    RequestTooLarge,
    SignatureInvalid,
    SubjectExists,
    SubjectNotFound,
    TooManyRequests,
    TooManyVideosWaiting,
    Unavailable,
    VideoTooLarge,
)
from app.security.request_signatures import SignatureFault

_PARAMETERS = {
    "collection": "CollectionId",
    "face_id": "FaceId",
    "face_ids": "FaceIds",
    "image": "Image",
    "object": "S3Object",
    "source": "SourceImage",
    "subject": "UserId",
    "tags": "Tags",
    "target": "TargetImage",
}
"""Our names of parameters and AWS's. Details of errors begin with the name of the parameter that is wrong."""

_WORDS = {
    "Idempotency-Key": "ClientRequestToken",
    "cursor": "NextToken",
    "subject": "user",
    "subjects": "users",
    "template": "face",
    "templates": "faces",
}
_OUR_WORDS = re.compile(rf"'(?:[^'\\]|\\.)*'|\(got .*\)|\b(?P<word>{'|'.join(_WORDS)})\b", re.IGNORECASE)
"""Our words, and the quoted values among them, which stay as they are."""

_NOT_AUTHORIZED = "User: {user} is not authorized to perform: rekognition:{operation}"
_NO_FACES = "There are no faces in the image. Should be at least 1."
_INVALID = "Request has invalid parameters"
_TOO_LARGE = "Image size is too large"
_SLOW_DOWN = "Slow down; sudden increase in rate of requests."

# The first matching class decides. Fields are parameters of the request; the other sentences of AWS have none.
_WHOLE: tuple[tuple[type[AppError], str], ...] = (
    (CollectionExists, "The collection id: {CollectionId} already exists"),
    (CollectionNotFound, "The collection id: {CollectionId} does not exist"),
    (SubjectExists, "The user id: {UserId} already exists"),
    (SubjectNotFound, "The user id: {UserId} does not exist"),
    (IdempotencyKeyReused, "The ClientRequestToken: {ClientRequestToken} you have supplied is already in use."),
    (InvalidCursor, "Invalid Pagination Token"),
)
"""Sentences that say all there is to say."""

_FIRST: tuple[tuple[type[AppError], str | None], ...] = (
    (QuotaExceeded, None),
    (VideoTooLarge, None),
    (TooManyVideosWaiting, None),
    (PermissionDenied, _NOT_AUTHORIZED),
    (ConsentRequired, _NOT_AUTHORIZED),
    (ConsentWithdrawn, _NOT_AUTHORIZED),
    (NotFound, _INVALID),
    (ImageEmpty, _INVALID),
    (ImageTooLarge, _TOO_LARGE),
    (ImageTooManyPixels, _TOO_LARGE),
    (RequestTooLarge, _TOO_LARGE),
    (FaceRefused, _INVALID),
    (InvalidParameter, _INVALID),
    (ObjectUnavailable, "Unable to get object metadata from S3. Check object key, region and/or access permissions."),
    (TooManyRequests, "Provisioned Rate exceeded"),
    (Overloaded, _SLOW_DOWN),
    (RecognizerChanged, _SLOW_DOWN),
    (Unavailable, "Internal server error"),
    (InternalError, "Internal server error"),
)
"""Sentences that ours follow, because ours name the value, the limit or what to do. None: AWS has no sentence."""

_WRONG_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - AWS's sentence
_SIGNATURES: dict[str | None, str] = {
    None: _WRONG_TOKEN,
    SignatureFault.SESSION_TOKEN: _WRONG_TOKEN,
    SignatureFault.MISSING: "Missing Authentication Token",
    SignatureFault.MISMATCH: (
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details."
    ),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asked for, as far as it was read: the operation, its parameters and the caller's ARN."""

    operation: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    user: str = ""


NOTHING_ASKED = Asked()
"""For a request that is refused before its operation is read."""


def word_message(error: AppError, asked: Asked) -> str:
    """Return the message of an error."""
    if isinstance(error, NoFace):
        is_one_of_two = error.field in ("source", "target")
        return f"{_INVALID}. {_PARAMETERS[error.field]}: {_NO_FACES}" if is_one_of_two and error.field else _NO_FACES
    if _is_format(error):
        return "Request has invalid image format"
    names = {**asked.parameters, "user": asked.user, "operation": asked.operation}
    whole = next((sentence for kind, sentence in _WHOLE if isinstance(error, kind)), None)
    if whole is not None and all(name in names for name in re.findall(r"\{(\w+)\}", whole)):
        return whole.format_map(names)
    first = _first_sentence(error)
    if first is None:
        return word_detail(error)
    first = first.format_map(names)
    if isinstance(error, ObjectUnavailable) and error.is_unreadable:
        return first
    return f"{first.removesuffix('.')}. {word_detail(error)}"


def word_detail(error: AppError) -> str:
    """Return our own detail of an error, with AWS's names of parameters and things."""
    name, separator, text = error.detail.partition(":")
    if separator and name == error.field and name in _PARAMETERS:
        return f"{_PARAMETERS[name]}:{_replace_words(text)}"
    return _replace_words(error.detail)


def _first_sentence(error: AppError) -> str | None:
    if isinstance(error, SignatureInvalid):
        return _SIGNATURES.get(error.fault)
    return next((sentence for kind, sentence in _FIRST if isinstance(error, kind)), None)


def _is_format(error: AppError) -> bool:
    others = (ImageEmpty, ImageTooLarge, ImageTooManyPixels, VideoTooLarge)
    return isinstance(error, ImageRefused) and not isinstance(error, others)


def _replace_words(text: str) -> str:
    def replace(found: re.Match[str]) -> str:
        word = found["word"]
        if word is None:
            return found[0]
        new = next(new for ours, new in _WORDS.items() if ours.lower() == word.lower())
        return new.capitalize() if word[0].isupper() and new.islower() else new

    return _OUR_WORDS.sub(replace, text)
