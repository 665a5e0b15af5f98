"""Everything in which a response may differ from the OpenAPI document, and what is not requested, with the reason."""

from dataclasses import dataclass

_PHOTO = "a schema cannot look into a photo"
SEMANTIC_CODES = {
    "image_empty": _PHOTO,
    "image_unreadable": _PHOTO,
    "image_truncated": _PHOTO,
    "image_url_not_allowed": "depends on the operator's settings",
    "mail_not_configured": "depends on the operator's settings",
    "webhook_url_not_allowed": "depends on the operator's settings and on addresses",
    "no_face": _PHOTO,
    "no_image_accepted": _PHOTO,
    "idempotency_key_reused": "depends on earlier requests",
    "invalid_cursor": "a cursor is signed",
    "recognizer_mismatch": "depends on the collection",
    "consent_required": "depends on the tenant's policy",
    "consent_withdrawn": "depends on the person's consent",
    "uploads_need_bucket": "depends on the operator's settings",
}
"""Codes of 422 for requests that obey the schema."""


@dataclass(frozen=True)
class Semantic:
    """A value that obeys the schema, and is refused by what the schema cannot express."""

    field: str
    words: str
    """A part of the error's detail."""
    reason: str


_WITHIN = "client generators read no schema that refers to itself, so it says nothing about values within values"
_LOADED = "depends on the model packs that the server has loaded"
_EITHER = "either the photo or its URL is required; client generators cannot read that as a `oneOf`"
SEMANTIC_VALUES = (
    Semantic("recognizer", "is not loaded", _LOADED),
    Semantic("in_use", "is not loaded", _LOADED),
    Semantic("secondary", "is not loaded", _LOADED),
    Semantic("endpoint", "is not allowed", "depends on the operator's settings"),
    Semantic("collection", "at least 50 are needed", "depends on the collection"),
    Semantic("body", "must not be below max_false_match_rate", "compares two fields"),
    Semantic("collections", "cannot be limited to collections", "compares two fields"),
    Semantic("before", "must not be earlier than", "compares two parameters"),
    Semantic("subject", "`collection` is required", "one parameter requires another"),
    Semantic("expires_at", "in the future", "depends on the time"),
    Semantic("expires_at", "is in the past", "depends on the time"),
    Semantic("embedding", "its length is", "is about all numbers together"),
    Semantic("faces", "its length", "is about all numbers together"),
    Semantic("faces", "appears twice", "compares two items by one field"),
    Semantic("metadata", "bytes long", "a schema limits characters of a text, not bytes of an object"),
    Semantic("metadata", "is nested deeper", _WITHIN),
    Semantic("metadata", "contains a NUL character", _WITHIN),
    Semantic("metadata", "beyond the range of a double", _WITHIN),
    Semantic("image", "an image is required", _EITHER),
    Semantic("images", "an image is required", _EITHER),
    Semantic("source", "an image is required", _EITHER),
    Semantic("target", "an image is required", _EITHER),
    Semantic("targets", "an image is required", _EITHER),
    Semantic(
        "video", "a file is required", "a schema does not say that a part comes last, or that a file is not empty"
    ),
    Semantic("external_image_id", "names one photo", "compares two fields"),
    Semantic("external_image_id", "both are missing", "one of two parameters is required"),
    Semantic("into", "is the subject itself", "compares a field with the path"),
    Semantic("collection", "name another collection", "compares a field with the path"),
    Semantic("rates", "at least 1 request within", "limits the length of a window"),
    Semantic("photos", "is there twice", "compares two items by one field"),
    Semantic("external_ids", "is there twice", "normalizes the ids before it compares them"),
    Semantic("names", "is there twice", "normalizes the names before it compares them"),
    Semantic("external_ids", "ids were sent for", "compares the lengths of two lists"),
    Semantic("people", "must have either subject or face_id", "either of two fields is required"),
    Semantic("body", "is decided twice", "compares two items by one field"),
    Semantic("decisions", "belongs to the verdict confirm", "compares two fields"),
    Semantic("face_ids", "must stay", "depends on the cluster"),
    Semantic("face_ids", "the cluster has no face", "depends on the cluster"),
    Semantic("cluster_id", "merged into itself", "compares a field with the path"),
    Semantic("image_url", "send only one of them", _EITHER),
    Semantic("image_urls", "send only one of them", _EITHER),
    Semantic("source_url", "send only one of them", _EITHER),
    Semantic("target_url", "send only one of them", _EITHER),
    Semantic("target_urls", "send only one of them", _EITHER),
)
"""Fields of 422 `invalid_parameter` for requests that obey the schema."""

EMPTY_LIST = "Array with fewer items than allowed by minItems"
"""schemathesis sends an empty list of a form as no field at all, which is allowed."""

INVISIBLE = "invisible characters"
"""A part of the error's detail for those beyond U+FFFF: patterns that name them need the flag `u` in ECMAScript."""

OWN_CREDENTIALS = {
    "/api/v1/auth/logout": "ends the caller's session",
    "/api/v1/auth/password": "too many wrong passwords lock the account",
}
"""Paths that are requested with credentials of their own, renewed after each success."""

ENDLESS = {"/api/v1/events/stream": "ends after 15 minutes"}
"""Paths without generated requests, whose responses go on. See `tests/api/test_events.py`."""

NOT_REQUESTED = {
    "/rekognition": "not in the document: tests/rekognition sends random requests of Amazon's own service model",
    "/compreface": "not in the document: tests/compreface calls every operation, and CompreFace's own clients",
    "/docs": "not in the document: a page for people",
    "/openapi.json": "not in the document: it is the document",
}
"""Paths without generated requests. `test_allowed_methods.py` asks them for their methods."""
