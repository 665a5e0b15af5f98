"""Create the web application from routes and middleware; its lifespan runs the process-wide objects."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from operator import attrgetter

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Match

from app import compreface, rekognition
from app.compreface import all_routes as compreface_routes
from app.compreface.errors import compreface_error
from app.compreface.similarity import SimilarityScales, build_scales
from app.console.all_pages import install_console, is_console
from app.console.context import ConsoleContext
from app.console.pages.sign_in import limit_address as limit_console
from app.console.rendering import Pages
from app.console.viewer import get_owner, get_viewer
from app.errors import AppError
from app.rekognition import protocol, targets
from app.rekognition.errors import rekognition_error
from app.rekognition.root import RootEndpoint
from app.rekognition.signing import read_signed_call
from app.rekognition.state import ProtocolState
from app.routes import photo_paths, portability
from app.routes.all_routes import ROUTERS
from app.routes.coverage import check_coverage
from app.routes.docs import TAGS, install_docs
from app.routes.error_handlers import install_error_handlers, problem
from app.routes.guests import get_guest
from app.server.body_limits import MAX_PLAIN_BODY, BodyLimit
from app.server.caller_turns import CallerTurns
from app.server.client_address import ClientAddress
from app.server.descriptors import log_exhaustion_once
from app.server.document_process import DocumentProcess
from app.server.drain import install_drain
from app.server.parent_process import end_with_parent
from app.server.photo_gate import PhotoGate
from app.server.rate_limits import RateLimiter
from app.server.request_context import ErrorRenderer, RequestContext
from app.server.state import ServerState
from app.server.workers import inherited_analyzer, inherited_app
from app.settings import Settings, load_settings
from app.telemetry import configure_logging
from app.wiring.analyzer import count_inference_threads
from app.wiring.process import running_process

_YOUNG_OBJECTS = 5_000
"""New objects before the garbage collector looks for cycles: a few requests. Python's 700 are less than one."""

_EXTRA_IN_FLIGHT = 8
"""Photo requests allowed in flight in addition to inference and its queue: being received or searched."""

_PAGE_HEADERS = ["authorization", "x-api-key", "content-type", "idempotency-key", "last-event-id", "x-request-id"]
"""Headers that pages of `VULTUS_CORS_ORIGINS` may send."""

_DESCRIPTION = """Self-hosted, multi-tenant face recognition.

To get started, create a tenant with `POST /api/v1/auth/signup`, press **Authorize** and enter the same email and
password. Then register people's faces with `POST /api/v1/register` and identify them with `POST /api/v1/recognize`.

Every error response is `application/problem+json` with a stable `code`. Photos are not stored, except those of albums,
which wait encrypted until they are processed.
"""


class LifespanState(ServerState):
    """The state that the lifespan attaches to every request."""

    rekognition: ProtocolState
    compreface: SimilarityScales


def create_app(settings: Settings | None = None) -> FastAPI:
    """Create the application; without `settings` they are read from the environment."""
    settings = settings or load_settings()
    app = FastAPI(
        title="Vultus",
        version=version("vultus"),
        description=_DESCRIPTION,
        contact={"name": "The operator of this server"},
        license_info={"name": "MIT", "identifier": "MIT"},
        openapi_tags=TAGS,
        generate_unique_id_function=attrgetter("name"),  # the operation ids
        lifespan=_lifespan(settings),
        openapi_url=None,  # `install_docs` serves it
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the redirect would name whatever host the request names
    )
    others = compreface_routes.ROUTERS if settings.compreface else ()
    for router in (*ROUTERS, protocol.router, *others):
        app.include_router(router)
    install_docs(app)
    renderer = _build_renderer(app)
    install_error_handlers(app, renderer)
    _add_middleware(app, settings, renderer)
    install_console(app, settings)
    check_coverage(app, other_guards=[read_signed_call, get_guest, get_viewer, get_owner, limit_console])
    return app


def _add_middleware(app: FastAPI, settings: Settings, render_error: ErrorRenderer) -> None:
    # The last one added is the outermost.
    app.add_middleware(
        BodyLimit,
        render_error=render_error,
        max_bytes=_body_limits(settings),
        has_route=lambda scope: any(route.matches(scope)[0] is not Match.NONE for route in app.routes),
        timeout_s=settings.body_timeout_s,
    )
    app.add_middleware(
        PhotoGate,
        render_error=render_error,
        has_photos=_has_photos,
        max_in_flight=count_inference_threads(settings) + settings.inference_queue + _EXTRA_IN_FLIGHT,
    )
    app.add_middleware(
        PhotoGate,
        render_error=render_error,
        has_photos=photo_paths.brings_video,
        max_in_flight=settings.max_video_uploads,
        kind="uploads of videos",
    )
    if settings.cors_origins:
        # No `allow_credentials`: clients send a token in a header, never a cookie.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=_PAGE_HEADERS,
            expose_headers=["x-request-id", "retry-after", "ratelimit", "ratelimit-policy", "idempotent-replayed"],
        )
    app.add_middleware(CallerTurns)
    app.add_middleware(RequestContext, render_error=render_error, is_https_only=settings.environment == "production")
    app.add_middleware(ConsoleContext)
    app.add_middleware(RootEndpoint)
    app.add_middleware(ClientAddress, trusted_proxies=settings.trusted_proxies)


def served_app() -> FastAPI:
    """Return the application inherited from the parent process, or a new one. uvicorn calls this in each worker."""
    end_with_parent()
    install_drain()
    app = inherited_app() or create_app()
    gc.freeze()  # what was imported stays, so the garbage collector need not look through it again and again
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)
    return app


def render_error(path: str, error: AppError) -> Response:
    """Build the response for an error, in the format of the protocol that the path serves."""
    if compreface.is_compreface(path):
        return compreface_error(error)
    return rekognition_error(error) if rekognition.is_rekognition(path) else problem(error)


def _build_renderer(app: FastAPI) -> ErrorRenderer:
    """Return `render_error`, which shows errors of the console as pages if there is a console."""

    def render(path: str, error: AppError) -> Response:
        pages: Pages | None = getattr(app.state, "pages", None)
        return pages.render_error(path, error) if pages is not None and is_console(path) else render_error(path, error)

    return render


def _body_limits(settings: Settings) -> Callable[[str, Mapping[str, str]], int]:
    def max_bytes(path: str, headers: Mapping[str, str]) -> int:
        if rekognition.is_rekognition(path):
            return targets.max_body_bytes(headers)
        if compreface.takes_embeddings(path):
            return compreface.MAX_EMBEDDINGS_BODY
        if photo_paths.takes_photos(path) or compreface.takes_photos(path):
            return settings.max_request_bytes
        if photo_paths.brings_video(path, headers):
            return settings.max_video_bytes + photo_paths.MAX_FIELDS_BYTES
        if photo_paths.takes_long_lists(path):
            return photo_paths.MAX_LIST_BODY
        return portability.MAX_IMPORT_BODY if path == portability.IMPORT_PATH else MAX_PLAIN_BODY

    return max_bytes


def _has_photos(path: str, headers: Mapping[str, str]) -> bool:
    if rekognition.is_rekognition(path):
        return targets.runs_inference(headers)
    return photo_paths.takes_photos(path) or compreface.sends_photos(path, headers)


def _lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[LifespanState]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[LifespanState]:
        configure_logging(settings.log_level, settings.log_format)
        log_exhaustion_once(asyncio.get_running_loop())
        works_on_albums = settings.works_on_albums
        async with running_process(settings, inherited_analyzer(), works_on_albums=works_on_albums) as process:
            redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
            limiter = RateLimiter(process.database, redis_url, public_rate=settings.public_rate)
            rekognition, documents = ProtocolState.of(process.calibrations), DocumentProcess()
            scales = build_scales(process.calibrations)
            try:
                yield LifespanState(
                    process=process, limiter=limiter, rekognition=rekognition, compreface=scales, documents=documents
                )
            finally:
                documents.close()

    return lifespan
