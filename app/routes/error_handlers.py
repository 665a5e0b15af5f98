"""Turn every error into an RFC 9457 problem+json response. No other module builds error bodies."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.errors import (
    AppError,
    AuthenticationFailed,
    InvalidParameter,
    MethodNotAllowed,
    QuotaExceeded,
    RequestRefused,
    RouteNotFound,
    problem_type,
)
from app.routes.unknown_names import describe_unknown, list_fields, replace_surrogates, shorten
from app.server.request_context import PRINCIPAL, ErrorRenderer
from app.server.state import state_of
from app.services.idempotency import ResponseReplayed
from app.telemetry import error_code, request_id

PROBLEM_JSON = "application/problem+json"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Never included in error responses, which end up in logs and screenshots.
_SECRET_FIELDS = frozenset(
    {
        "password",
        "current",
        "new",
        "refresh_token",
        "access_token",
        "client_secret",
        "secret_access_key",
        "token",
        "embedding",
    }
)


class ProblemResponse(JSONResponse):
    """A response with the media type application/problem+json."""

    media_type = PROBLEM_JSON


def install_error_handlers(app: FastAPI, render_error: ErrorRenderer) -> None:
    """Render every error of the app in the format of the path's protocol: problem+json for the REST API."""

    @app.exception_handler(AppError)
    async def handle_app_error(request: Request, error: AppError) -> Response:
        if isinstance(error, QuotaExceeded) and error.quota is not None and PRINCIPAL in request.scope:
            await state_of(request).quota_notices.note(request.scope[PRINCIPAL].tenant_id, error.quota)
        return render_error(request.url.path, error)

    @app.exception_handler(RequestValidationError)
    async def handle_validation_error(request: Request, error: RequestValidationError) -> Response:
        return render_error(request.url.path, validation_failed(error.errors(), _body_model(request)))

    @app.exception_handler(HTTPException)
    async def handle_http_exception(request: Request, error: HTTPException) -> Response:
        # FastAPI wraps every error raised while it reads a body; an AppError is reported unchanged.
        if isinstance(error.__cause__, AppError):
            return render_error(request.url.path, error.__cause__)
        if error.status_code == 404:
            hint = "; paths do not end with a slash" if request.url.path.endswith("/") else ""
            missing = RouteNotFound(f"No route exists at {shorten(request.url.path)}{hint}.")
            return render_error(request.url.path, missing)
        if error.status_code == 405:
            response = render_error(request.url.path, MethodNotAllowed(f"This path does not support {request.method}."))
            response.headers["allow"] = _allowed_methods(request)
            return response
        status = 422 if error.status_code == 400 else error.status_code  # 400: FastAPI could not read the body
        return problem(RequestRefused(str(error.detail)), status=status)

    @app.exception_handler(ResponseReplayed)
    async def handle_replay(_: Request, replay: ResponseReplayed) -> Response:
        headers = {"idempotent-replayed": "true"}
        if replay.record.status == 204:
            return Response(status_code=204, headers=headers)
        return Response(replay.record.body, replay.record.status, headers, media_type="application/json")


def _allowed_methods(request: Request) -> str:
    """List the methods of a path, which may belong to several routers."""
    routes, scope = request.app.routes, request.scope
    allowed = [
        method
        for method in _METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return ", ".join(allowed or ("GET", "HEAD"))  # a mounted directory of files has no routes, and refuses by itself


def problem(error: AppError, *, status: int | None = None) -> ProblemResponse:
    """Build the response for an error; `status` overrides the status of the error's class."""
    current_id = request_id.get()
    error_code.set(error.code)
    body: dict[str, Any] = {
        "type": problem_type(error.code),
        "title": error.title,
        "status": status or error.status,
        "detail": replace_surrogates(error.detail),
        "code": error.code,
        "request_id": current_id,
    }
    errors = error.errors or ([_describe_field(error)] if error.field else None)
    if errors:
        body["errors"] = errors
    headers: dict[str, str] = {"cache-control": "no-store", **error.headers}
    if current_id is not None:
        headers["x-request-id"] = current_id
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, AuthenticationFailed):
        headers["www-authenticate"] = "Bearer"
    return ProblemResponse(body, status_code=status or error.status, headers=headers)


def _describe_field(error: AppError) -> dict[str, Any]:
    index = {} if error.index is None else {"index": error.index}
    return {"field": replace_surrogates(error.field or ""), **index, "detail": replace_surrogates(error.detail)}


def validation_failed(errors: Iterable[Mapping[str, Any]], model: Any = None) -> InvalidParameter:
    """Combine pydantic's errors into one that names each field, its value and its limit.

    `model` is the type of the body; with it, an unknown field is told with the nearest known one.
    """
    described = [_describe(error, model) for error in errors]
    return InvalidParameter("; ".join(_summarize(item) for item in described), errors=described)


def _body_model(request: Request) -> Any:
    field = getattr(request.scope.get("route"), "body_field", None)
    return field.field_info.annotation if field is not None else None


def _describe(error: Mapping[str, Any], model: Any) -> dict[str, Any]:
    location = [str(part) for part in error.get("loc", ()) if part not in ("body", "query", "path", "form")]
    field = ".".join(location) or "body"
    described: dict[str, Any] = {"field": shorten(field), "code": error["type"], "detail": _sentence(error, model)}
    value = error.get("input")
    # An unknown field may be a misspelled password.
    is_secret = bool(_SECRET_FIELDS & set(location)) or error["type"] == "extra_forbidden"
    if isinstance(value, (str, int, float, bool)) and not is_secret:
        described["value"] = shorten(value) if isinstance(value, str) else str(value)
    limits = {key: str(limit) for key, limit in (error.get("ctx") or {}).items() if key not in ("error", "pattern")}
    if limits:
        described["limit"] = limits
    return described


def _summarize(item: Mapping[str, Any]) -> str:
    value = f" (got {item['value']})" if "value" in item else ""
    return f"{item['field']}: {item['detail']}{value}"


def _sentence(error: Mapping[str, Any], model: Any) -> str:
    if error["type"] == "extra_forbidden":
        path = [part for part in error["loc"] if part != "body"]
        return describe_unknown("field", str(path[-1]), list_fields(model, path[:-1]))
    if error["type"] == "string_pattern_mismatch":  # a regular expression is for programs
        return "does not have the form that the API's documentation describes"
    return str(error["msg"]).removeprefix("Value error, ")
