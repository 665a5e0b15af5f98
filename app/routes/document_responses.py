"""Add to the OpenAPI document what many operations answer alike: errors of every route, and headers."""

from typing import Any

from app.errors import IdempotentAnswerErased, NotReady, RouteNotFound
from app.routes import API
from app.routes.responses import problems

HEADERS: dict[str, dict[str, Any]] = {
    "x-request-id": {
        "description": "Identifies the request in the server's log. Yours, if you sent one.",
        "required": True,
        "schema": {"type": "string", "pattern": r"^[A-Za-z0-9_.\-]{1,64}$"},
    },
    "retry-after": {
        "description": "Seconds to wait before you try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "www-authenticate": {"required": True, "schema": {"type": "string", "const": "Bearer"}},
    "ratelimit": {
        "description": "The limit, the remaining requests (`r`) and the seconds until it is reset (`t`).",
        "schema": {"type": "string", "pattern": r'^"[a-z\-]+";r=[0-9]+;t=[0-9]+$'},
    },
    "ratelimit-policy": {
        "description": "The limit, its requests (`q`) and its period in seconds (`w`).",
        "schema": {"type": "string", "pattern": r'^"[a-z\-]+";q=[0-9]+;w=[0-9]+$'},
    },
    "idempotent-replayed": {
        "description": "Present if this is the stored response of an earlier request with the same key.",
        "schema": {"type": "string", "const": "true"},
    },
}
"""The document's header components."""

REQUEST_ID: dict[str, Any] = {
    "name": "x-request-id",
    "in": "header",
    "description": "Your own id for the request in log and audit trail: 1 to 64 letters (A to Z), digits, `_`, `.` "
    "and `-`. Otherwise the server chooses one. Put nobody's name into it.",
    "schema": {"type": "string", "examples": ["6f1c0e8a2b7d4c55"]},
}
"""The parameter of every operation."""

_OF_STATUS = {
    "401": ("www-authenticate",),
    "429": ("retry-after", "ratelimit", "ratelimit-policy"),
    "503": ("retry-after",),
}


def complete_responses(path: str, operation: dict[str, Any]) -> None:
    """Add the responses that follow from an operation's path, parameters, body and security, and all headers."""
    responses = operation["responses"]
    is_idempotent = any(parameter["name"] == "idempotency-key" for parameter in operation.get("parameters", ()))
    missing = problems(422)  # an unknown query parameter
    if "security" in operation:
        missing |= problems(401, 429, NotReady)
    if "requestBody" in operation:
        missing |= problems(408, 413, 415, NotReady)
    if path.startswith(f"{API}/operator/"):
        missing |= problems(RouteNotFound)
    if is_idempotent:
        missing |= problems(IdempotentAnswerErased)
    for status, response in missing.items():
        responses.setdefault(str(status), response)
    operation["responses"] = {status: responses[status] for status in sorted(responses)}
    for status, response in responses.items():
        names = ["x-request-id", *_OF_STATUS.get(status, ())]
        if status.startswith("2") and "429" in responses:
            names += ["ratelimit", "ratelimit-policy"]
        if status.startswith("2") and is_idempotent:
            names.append("idempotent-replayed")
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
