"""The process-wide objects as requests see them; made once in `main.lifespan`."""

from collections.abc import Mapping
from typing import TypedDict

from app.matcher.gallery_search import SearchEngine
from app.persistence.database import Database
from app.routes.limits import RateLimiter
from app.routes.rekognition.similarity import SimilarityScale
from app.routes.rekognition.wire_model import WireModel
from app.security.cursors import CursorSigner
from app.security.keyring import Keyring
from app.security.passwords import PasswordHasher
from app.services.auth import AuthService
from app.services.decisions import DecisionMaker
from app.services.faces import FaceReader
from app.services.health import HealthService
from app.services.metering import Meter
from app.services.object_stores import ObjectFetcher
from app.services.recognizers import RecognizerDirectory
from app.services.signed_requests import SignedRequestService
from app.services.tenants import OperatorService, TenantService
from app.settings import Settings


class AppState(TypedDict):
    """What the lifespan yields; `deps.py` alone reads it."""

    settings: Settings
    database: Database
    keyring: Keyring
    hasher: PasswordHasher
    limiter: RateLimiter
    meter: Meter
    auth: AuthService
    tenants: TenantService
    operator: OperatorService | None
    faces: FaceReader
    search: SearchEngine
    cursors: CursorSigner
    signed_requests: SignedRequestService
    objects: ObjectFetcher
    wire_model: WireModel
    similarity_scales: Mapping[str, SimilarityScale]
    """By recogniser."""
    recognizers: RecognizerDirectory
    health: HealthService
    decisions: DecisionMaker
