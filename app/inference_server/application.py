"""Create the web application of an inference server; it is told its networks, so that a snapshot may hold them."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from pydantic import ValidationError

from app.errors import AppError, InvalidParameter, MalformedRequest, NotReady, UnsupportedMediaType
from app.inference_server.access import require_token
from app.inference_server.service import InferenceService
from app.ml.remote.wire import PHOTOS_TYPE, PhotoOrder, unpack_call
from app.routes.error_handlers import install_error_handlers, problem
from app.server.body_limits import MAX_PLAIN_BODY, BodyLimit
from app.server.drain import drain
from app.server.off_loop import run_off_loop
from app.server.request_context import RequestContext
from app.settings import Settings
from app.telemetry.metrics import CONTENT_TYPE, expose, observe_images
from app.wiring.analyzer import build_local_finder, count_inference_threads
from app.wiring.process import SWITCH_INTERVAL_S

_JSON = "application/json"


def load_service(settings: Settings) -> InferenceService:
    """Load the networks of the settings' packs and run each once; takes seconds."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    finder = build_local_finder(settings)
    service = InferenceService(finder.engine, finder.quality, settings, threads=count_inference_threads(settings))
    service.warm_up()
    return service


def create_app(service: InferenceService, settings: Settings) -> FastAPI:
    """Create the application around loaded networks."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(title="Vultus inference", openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    _add_routes(app, service, settings)
    install_error_handlers(app, _render)
    # The last one added is the outermost.
    app.add_middleware(
        BodyLimit,
        render_error=_render,
        max_bytes=lambda path, _: service.max_body_bytes if path == "/extract" else MAX_PLAIN_BODY,
        has_route=lambda scope: scope["path"] == "/extract",
        timeout_s=settings.body_timeout_s,
    )
    app.add_middleware(RequestContext, render_error=_render)
    return app


def _render(_: str, error: AppError) -> Response:
    return problem(error)


def _add_routes(app: FastAPI, service: InferenceService, settings: Settings) -> None:
    token = settings.inference_token

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        if drain.has_begun:
            raise NotReady("The inference server is stopping.")
        return {"status": "ready"}

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        require_token(request, settings.metrics_token, token)
        return Response(expose(), media_type=CONTENT_TYPE)

    @app.get("/info")
    async def info(request: Request) -> Response:
        require_token(request, token)
        return Response(service.describe().model_dump_json(), media_type=_JSON)

    @app.post("/extract")
    async def extract(request: Request) -> Response:
        try:
            require_token(request, token)
            _check_media_type(request)
            service.check_room()
        except AppError:
            await _drain_body(request)
            raise
        body = await request.body()
        calls = await run_off_loop(len(body), lambda: _read_call(body))
        answer = await service.extract(calls)
        observe_images(len(calls))
        return Response(await run_off_loop(len(body), answer.model_dump_json), media_type=_JSON)


def _check_media_type(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != PHOTOS_TYPE:
        raise UnsupportedMediaType(f"Content-Type: {media_type[:64]!r} is not {PHOTOS_TYPE}.")


async def _drain_body(request: Request) -> None:
    """Receive a body that is refused: over TLS, closing a connection that still brings one would lose the answer."""
    async for _ in request.stream():
        pass


def _read_call(body: bytes) -> list[tuple[PhotoOrder, bytes]]:
    try:
        return unpack_call(body)
    except ValidationError as exc:
        raise InvalidParameter(_describe_invalid(exc)) from None
    except ValueError as exc:
        raise MalformedRequest(f"The body is not a call: {exc}.") from None


def _describe_invalid(exc: ValidationError) -> str:
    faults = exc.errors(include_input=False, include_url=False, include_context=False)
    described = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults[:5])
    return f"The head of the call is invalid: {described}."
