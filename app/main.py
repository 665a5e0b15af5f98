"""The web application: `create_app()` and its lifespan, the one place where process-wide objects are made."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from app.errors import OperatorError
from app.matcher.building import build_search
from app.ml.analysis import FaceAnalyzer
from app.ml.executor import InferenceExecutor
from app.ml.image import ImageLimits
from app.ml.insightface_engine import InsightFaceEngine
from app.ml.memory import steady_memory
from app.ml.packs import PackLibrary
from app.ml.quality import QualityLimits
from app.ml.sessions import Runtime
from app.persistence.database import Database
from app.persistence.erasure_journal import ErasureJournal
from app.persistence.provision import provisioned_database
from app.routes import (
    audit,
    auth,
    collection_recognizers,
    collections,
    health,
    keys,
    object_stores,
    operator,
    policies,
    portability,
    receipts,
    recognition,
    rekognition,
    search,
    subjects,
    tenants,
    usage,
    users,
)
from app.routes.coverage import check_coverage
from app.routes.docs import install_docs
from app.routes.error_handlers import install_error_handlers
from app.routes.limits import RateLimiter
from app.routes.rekognition import protocol
from app.routes.rekognition.similarity import SimilarityScale
from app.routes.rekognition.wire_model import WireModel
from app.routes.request_context import MAX_PLAIN_BODY, BodyLimit, Gate, RequestContext
from app.routes.state import AppState
from app.security.cursors import CursorSigner
from app.security.keyring import Keyring
from app.security.passwords import PasswordHasher
from app.security.tokens import TokenIssuer
from app.services.auth import AuthService
from app.services.decisions import DecisionMaker
from app.services.erasure_replay import ErasureReplay
from app.services.faces import FaceReader
from app.services.health import HealthService
from app.services.metering import Meter
from app.services.object_stores import ObjectFetcher
from app.services.recognizers import RecognizerDirectory
from app.services.retention import RetentionSweep
from app.services.signed_requests import SignedRequestService
from app.services.tenants import OperatorService, TenantService
from app.services.upkeep import Upkeep
from app.settings import Settings, load_settings
from app.telemetry import configure_logging, get_logger

_log = get_logger(__name__)

_WARM_UP_S = 30
_SWITCH_INTERVAL_S = 0.0005
"""Inference returns to Python some thirty times a photo, and at each waits for a busy event loop to let go: Python's
own 5 ms add up to more than the inference."""

_LEAST_UNDER_WAY = 8
"""Requests with photos that may be under way beside those that infer or wait: reading, searching, answering."""

_DESCRIPTION = """Self-hosted, multi-tenant face recognition.

Sign up (`POST /api/v1/auth/signup`), press **Authorize** with that email and password, register people, recognise them.
Every error is `application/problem+json` with a stable `code`.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; without arguments it is configured from the environment."""
    settings = settings or load_settings()
    app = FastAPI(
        title="Vultus",
        version=version("vultus"),
        description=_DESCRIPTION,
        license_info={"name": "MIT"},
        lifespan=_lifespan(settings),
        docs_url=None,
        redoc_url=None,
    )
    for module in (
        auth, recognition, collections, collection_recognizers, subjects, search, policies, portability, audit,
        receipts, usage, tenants, users,
        keys, operator, object_stores, protocol, health,
    ):  # fmt: skip
        app.include_router(module.router)
    install_docs(app)
    install_error_handlers(app)
    app.add_middleware(
        BodyLimit,
        most_bytes=_body_limits(settings),
        timeout_s=settings.body_timeout_s,
    )
    app.add_middleware(
        Gate,
        has_photos=_has_photos,
        most=count_inference_threads(settings) + settings.inference_queue + _LEAST_UNDER_WAY,
    )
    if settings.cors_origins:
        # Without credentials: callers send a token in a header, never a cookie.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["authorization", "x-api-key", "content-type", "idempotency-key", "x-request-id"],
            expose_headers=["x-request-id", "retry-after", "ratelimit", "ratelimit-policy", "idempotent-replayed"],
        )
    app.add_middleware(RequestContext, is_https_only=settings.environment == "production")
    check_coverage(app)
    return app


def _body_limits(settings: Settings) -> Callable[[str, Mapping[str, str]], int]:
    limits = {
        **dict.fromkeys(recognition.IMAGE_PATHS, settings.max_request_bytes),
        portability.IMPORT_PATH: portability.MAX_IMPORT_BODY,
    }

    def most_bytes(path: str, headers: Mapping[str, str]) -> int:
        if rekognition.is_rekognition(path):
            return protocol.most_body_bytes(headers)
        return limits.get(path, MAX_PLAIN_BODY)

    return most_bytes


def _has_photos(path: str, headers: Mapping[str, str]) -> bool:
    return path in recognition.IMAGE_PATHS or (rekognition.is_rekognition(path) and protocol.runs_networks(headers))


def build_analyzer(settings: Settings) -> FaceAnalyzer:
    """The model pack, loaded, behind the limits of the settings; takes a second or two, or a download."""
    steady_memory()
    library = PackLibrary.of(settings)
    pack, *others = (library.find(name) for name in (settings.model_pack, *settings.more_model_packs))
    runtime = Runtime(
        providers=settings.providers,
        threads=count_inference_threads(settings),
        cache=settings.resolved_data_dir / "graphs",
    )
    engine = InsightFaceEngine(pack, runtime, others=others, detection_threshold=settings.detection_threshold)
    return FaceAnalyzer(
        engine,
        ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels),
        QualityLimits(
            min_face_pixels=settings.min_face_pixels,
            min_sharpness=settings.min_sharpness,
            min_brightness=settings.min_brightness,
            max_brightness=settings.max_brightness,
            max_yaw_deg=settings.max_yaw_deg,
            max_pitch_deg=settings.max_pitch_deg,
        ),
        max_faces=settings.max_faces_per_image,
    )


_inherited: list[tuple[FastAPI, FaceAnalyzer]] = []


def inherit(app: FastAPI, analyzer: FaceAnalyzer) -> None:
    """Serve this application with these networks in this process and in every one forked from it."""
    _inherited[:] = [(app, analyzer)]


def inherited_app() -> FastAPI:
    """The application to serve: the inherited one, else a new one (uvicorn's factory)."""
    return _inherited[0][0] if _inherited else create_app()


async def _start_networks(analyzer: FaceAnalyzer, executor: InferenceExecutor) -> None:
    """A first run; what was inherited and hangs must not look like a slow client for ever."""
    try:
        async with asyncio.timeout(_WARM_UP_S):
            await executor.run(None, analyzer.warm_up)
    except TimeoutError:
        raise OperatorError(
            f"The networks gave no answer in {_WARM_UP_S} s. Several workers inherit them from the process that starts "
            f"them: VULTUS_SHARE_MODELS=false makes each load its own."
        ) from None


def count_inference_threads(settings: Settings) -> int:
    """Inferences at a time in this process: as the settings say, else one a core."""
    return settings.inference_threads or os.cpu_count() or 1


def _lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[AppState]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[AppState]:
        configure_logging(settings.log_level, settings.log_format)
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        async with provisioned_database(settings) as addresses:
            journal = ErasureJournal(settings.erasure_journal_path)
            database = Database(
                addresses.service,
                pool_size=settings.database_pool_size,
                behind_pgbouncer=settings.database_pgbouncer,
                journal=journal,
            )
            # Only where the operator's API is on does the service hold the login that sees every tenant.
            operator_database = (
                Database(addresses.operator, pool_size=2, behind_pgbouncer=settings.database_pgbouncer, journal=journal)
                if settings.operator_token
                else None
            )
            executor = InferenceExecutor(
                threads=count_inference_threads(settings),
                queue=settings.inference_queue,
                deadline_s=settings.inference_deadline_s,
            )
            hasher = PasswordHasher()
            keyring = Keyring(settings.signing_keys())
            objects = ObjectFetcher(
                database, keyring, endpoints=settings.object_store_endpoints, max_bytes=settings.max_image_bytes
            )
            engine = build_search(settings, addresses.service, keyring)
            try:
                analyzer = _inherited[0][1] if _inherited else build_analyzer(settings)
                await _start_networks(analyzer, executor)
                for info in analyzer.engine.infos.values():
                    _log.info(
                        "model_loaded", pack=info.pack, recognizer=info.recognizer, providers=list(info.providers),
                        precision=info.precision, inherited=bool(_inherited),
                        calibration=info.calibration.account, licence=info.licence,
                    )  # fmt: skip
                    if info.knows_only_drawings:
                        _log.warning("model_knows_only_drawn_faces", pack=info.pack)
                recognizers = RecognizerDirectory({name: info.pack for name, info in analyzer.engine.infos.items()})
                calibrations = {name: info.calibration for name, info in analyzer.engine.infos.items()}
                tokens = TokenIssuer(
                    keyring,
                    access_lifetime=timedelta(minutes=settings.access_token_minutes),
                    refresh_lifetime=timedelta(days=settings.refresh_token_days),
                )
                sweep = RetentionSweep(database, keyring) if settings.retention_sweep else None
                upkeep = Upkeep(ErasureReplay(database, journal, keyring), sweep)
                meter = Meter(database)
                async with upkeep.running(), meter.running():
                    yield AppState(
                        settings=settings,
                        database=database,
                        keyring=keyring,
                        hasher=hasher,
                        limiter=RateLimiter(
                            database,
                            settings.redis_url.get_secret_value() if settings.redis_url else None,
                            public_rate=settings.public_rate,
                        ),
                        meter=meter,
                        auth=AuthService(database, hasher, tokens, keyring),
                        tenants=TenantService(database, hasher, keyring),
                        operator=OperatorService(operator_database, keyring) if operator_database is not None else None,
                        faces=FaceReader(executor, analyzer),
                        search=engine,
                        cursors=CursorSigner(keyring),
                        signed_requests=SignedRequestService(database, keyring, region=settings.rekognition_region),
                        objects=objects,
                        wire_model=WireModel(),
                        similarity_scales={name: SimilarityScale(one) for name, one in calibrations.items()},
                        recognizers=recognizers,
                        health=HealthService(database, upkeep, must_be_confined=settings.environment == "production"),
                        decisions=DecisionMaker(calibrations, settings.match_threshold),
                    )
            finally:
                executor.close()
                hasher.close()
                await objects.close()
                await engine.close()
                await database.close()
                if operator_database is not None:
                    await operator_database.close()

    return lifespan
