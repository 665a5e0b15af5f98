"""Every error as RFC 9457 problem+json, validation and 500 included; the only place that makes error bodies."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from app.errors import AppError, AuthenticationFailed, InvalidParameter, MethodNotAllowed, RequestRefused, RouteNotFound
from app.server.request_context import ErrorResponder
from app.services.idempotency import AnswerReplayed
from app.telemetry import request_id

PROBLEM_JSON = "application/problem+json"
_MAX_ECHO = 64
# Never echoed back, not even to the one who sent them: answers end up in logs and screenshots.
_SECRET_FIELDS = frozenset(
    {"password", "current", "new", "refresh_token", "access_token", "client_secret", "token", "embedding"}
)


class ProblemResponse(JSONResponse):
    """A problem details body."""

    media_type = PROBLEM_JSON


def install_error_handlers(app: FastAPI, answer_error: ErrorResponder) -> None:
    """Make every error of the app answer in the format of its path, problem+json for all of ours."""

    @app.exception_handler(AppError)
    async def handle_app_error(request: Request, error: AppError) -> Response:
        return answer_error(request.url.path, error)

    @app.exception_handler(RequestValidationError)
    async def handle_validation_error(request: Request, error: RequestValidationError) -> Response:
        return answer_error(request.url.path, validation_failed(error.errors()))

    @app.exception_handler(HTTPException)
    async def handle_http_exception(request: Request, error: HTTPException) -> Response:
        # FastAPI wraps whatever stops the reading of a body; what was raised on purpose speaks for itself.
        if isinstance(error.__cause__, AppError):
            return answer_error(request.url.path, error.__cause__)
        if error.status_code == 404:
            return problem(RouteNotFound(f"There is nothing at {_shorten(request.url.path)}."))
        if error.status_code == 405:
            response = answer_error(request.url.path, MethodNotAllowed(f"{request.method} is not answered here."))
            response.headers.update(dict(error.headers or {}))
            return response
        status = 422 if error.status_code == 400 else error.status_code  # a body that cannot be read, like any other
        return problem(RequestRefused(str(error.detail)), status=status)

    @app.exception_handler(AnswerReplayed)
    async def handle_replay(_: Request, replay: AnswerReplayed) -> Response:
        headers = {"idempotent-replayed": "true"}
        if replay.answer.status == 204:
            return Response(status_code=204, headers=headers)
        return Response(replay.answer.body, replay.answer.status, headers, media_type="application/json")


def problem(error: AppError, *, status: int | None = None) -> ProblemResponse:
    """The response for an error."""
    current = request_id.get()
    body: dict[str, Any] = {
        "type": f"urn:vultus:problem:{error.code}",
        "title": error.title,
        "status": status or error.status,
        "detail": _text(error.detail),
        "code": error.code,
        "request_id": current,
    }
    errors = error.errors or ([{"field": _text(error.field), "detail": _text(error.detail)}] if error.field else None)
    if errors:
        body["errors"] = errors
    headers: dict[str, str] = {"cache-control": "no-store", **error.headers}
    if current is not None:
        headers["x-request-id"] = current
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, AuthenticationFailed):
        headers["www-authenticate"] = "Bearer"
    return ProblemResponse(body, status_code=status or error.status, headers=headers)


def validation_failed(errors: Iterable[Mapping[str, Any]]) -> InvalidParameter:
    """What pydantic found, as one error that names every field with its limit and its value."""
    described = [_describe(error) for error in errors]
    return InvalidParameter("; ".join(_summarize(item) for item in described), errors=described)


def _describe(error: Mapping[str, Any]) -> dict[str, Any]:
    location = [str(part) for part in error.get("loc", ()) if part not in ("body", "query", "path", "form")]
    field = ".".join(location) or "body"
    described: dict[str, Any] = {"field": _shorten(field), "code": error["type"], "detail": _sentence(error)}
    value = error.get("input")
    # A field that is not known may be a misspelt password.
    is_secret = bool(_SECRET_FIELDS & set(location)) or error["type"] == "extra_forbidden"
    if isinstance(value, (str, int, float, bool)) and not is_secret:
        described["value"] = _shorten(value) if isinstance(value, str) else str(value)
    limits = {key: str(limit) for key, limit in (error.get("ctx") or {}).items() if key != "error"}
    if limits:
        described["limit"] = limits
    return described


def _summarize(item: Mapping[str, Any]) -> str:
    got = f" (got {item['value']})" if "value" in item else ""
    return f"{item['field']}: {item['detail']}{got}"


def _sentence(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


def _text(text: str) -> str:
    """Without lone surrogates, which a client can name a field with and no JSON can carry."""
    return text.encode("utf-8", "replace").decode()


def _shorten(text: str) -> str:
    clean = _text(text)
    return clean if len(clean) <= _MAX_ECHO else clean[:_MAX_ECHO] + "..."
