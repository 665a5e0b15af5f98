"""Serve the OpenAPI document, and Swagger UI from local files so that it works without internet access."""

import asyncio
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from app.routes import error_pages
from app.routes.document_responses import HEADERS, REQUEST_ID, complete_responses
from app.routes.examples import build_example
from app.routes.responses import problems
from app.routes.shared_components import share_parameters, share_responses
from app.schemas.fields import METADATA_VALUE, METADATA_VALUE_NAME
from app.schemas.problems import Problem

_ASSETS = "/docs/assets"
_DOCUMENT = "/openapi.json"
_PAGE = (files("app.routes") / "swagger.html").read_text("utf-8")

TAGS = [
    {"name": "auth", "description": "Sign up, log in and log out."},
    {"name": "recognition", "description": "Register, recognize, verify and compare faces in photos."},
    {
        "name": "collections",
        "description": "Manage collections, their decision policies, calibrations and recognizers.",
    },
    {"name": "subjects", "description": "Manage the people in a collection, their consents and their stored faces."},
    {"name": "search", "description": "Search a collection by embedding, by subject or by stored face."},
    {"name": "albums", "description": "Send photos by the thousand, and find everybody's photos by a selfie."},
    {"name": "guests", "description": "Search an album by a link, without an account."},
    {"name": "videos", "description": "Send videos, and list who appears in them and when."},
    {
        "name": "privacy",
        "description": "Set consent and retention rules, export and import subjects, and read the audit trail.",
    },
    {"name": "events", "description": "Read what changed, by asking or by watching."},
    {"name": "webhooks", "description": "Have events sent to your servers, signed by Standard Webhooks."},
    {"name": "tenant", "description": "Get your plan, quotas and usage."},
    {"name": "users", "description": "Manage the users of your tenant."},
    {"name": "keys", "description": "Manage API keys and access keys for programs."},
    {"name": "object store", "description": "Set the S3-compatible server that the Rekognition API gets photos from."},
    {"name": "rekognition options", "description": "Choose how the Rekognition API answers your tenant."},
    {"name": "operator", "description": "Manage tenants and plans. Requires the operator token."},
    {"name": "health", "description": "Check liveness and readiness, and get metrics."},
]
"""The OpenAPI tags, in the order in which Swagger UI shows them."""


def install_docs(app: FastAPI) -> None:
    """Serve `/docs` with the assets from the package fastapi-swagger."""
    app.mount(_ASSETS, StaticFiles(directory=str(files("fastapi_swagger") / "resources")), name="docs-assets")
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_PAGE)

    @router.get(_DOCUMENT, include_in_schema=False)
    async def document(request: Request) -> Response:
        body, etag = await asyncio.to_thread(render)
        headers = {"etag": etag, "cache-control": "no-cache"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    @cache
    def render() -> tuple[bytes, str]:
        """Return the document's bytes and ETag, made once: they take a tenth of a second."""
        body = json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()
        return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'

    app.include_router(router)
    app.include_router(error_pages.router)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    """Return FastAPI's document with `Problem` in place of FastAPI's own error schemas."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            contact=app.contact,
            license_info=app.license_info,
            tags=app.openapi_tags,
            servers=[{"url": "/", "description": "This server"}],
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas[METADATA_VALUE_NAME] = METADATA_VALUE
        document["components"]["headers"] = HEADERS
        for path, methods in document["paths"].items():
            for operation in methods.values():
                _replace_default_errors(operation["responses"])
                complete_responses(path, operation)
                operation["parameters"] = [*operation.get("parameters", ()), REQUEST_ID]
                body = operation.get("requestBody", {}).get("content", {}).get("application/json")
                if body:
                    body["example"] = build_example(body["schema"], schemas)
        operations = [operation for methods in document["paths"].values() for operation in methods.values()]
        document["components"] |= {
            "parameters": share_parameters(operations),
            "responses": share_responses(operations),
        }
        app.openapi_schema = _refer(document, {"title": METADATA_VALUE_NAME})
    return app.openapi_schema


def _replace_default_errors(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if "HTTPValidationError" in str(response.get("content", {}).get("application/json")):
            responses[status] = problems(422)[422]


def _refer(part: Any, placeholder: dict[str, str]) -> Any:
    """Replace a placeholder by a reference to the component of this title, which pydantic does not know."""
    if part == placeholder:
        return {"$ref": f"#/components/schemas/{placeholder['title']}"}
    if isinstance(part, dict):
        return {name: _refer(value, placeholder) for name, value in part.items()}
    return [_refer(value, placeholder) for value in part] if isinstance(part, list) else part
