"""Every setting of the service, in one class, read from the environment and `.env`; it must decide nothing else.

Each variable is the field's name in capitals behind `VULTUS_`; `.env.example` lists all of them (a test compares).
"""

import os
import re
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from limits import parse_many
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIN_SECRET_BYTES = 32
LONGEST_WINDOW_S = 366 * 24 * 3600

Positive = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """Configuration of one process; refuses unsafe values outside development."""

    model_config = SettingsConfigDict(
        env_prefix="VULTUS_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    environment: Literal["development", "production"] = "development"
    secret_key: SecretStr | None = None
    """Signs tokens and cursors; at least 32 bytes. In development one is made and kept in the data directory."""

    previous_secret_keys: Annotated[list[SecretStr], NoDecode] = []
    """Secrets used before, comma-separated: what they signed is still believed while it is good."""

    data_dir: Path = Path("data")
    database_url: SecretStr | None = None
    """`postgresql://user:password@host/name`; unset: the embedded PostgreSQL under the data directory."""
    database_admin_url: SecretStr | None = None
    """The login that owns the schema, for `vultus migrate` and the operator's commands; unset: the same login."""
    database_pool_size: Positive = 10
    database_pgbouncer: bool = False
    """Set it behind PgBouncer in transaction mode: no statement is prepared by name."""

    model_pack: str = "buffalo_l"
    """A directory in InsightFace's layout, a published pack's name, or `synthetic` (drawn faces only)."""
    extra_model_packs: Annotated[list[str], NoDecode] = []
    """Other packs, comma-separated, whose recognizers collections may be searched and stored with; their detectors are
    not loaded."""
    model_cache: Path = Path("~/.insightface")
    providers: str = "auto"
    """`auto`, or ONNX Runtime providers in order of preference, comma-separated: `cuda,openvino,cpu`."""
    match_threshold: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Overrides the model pack's threshold; a similarity at or above it is a match."""
    inference_threads: Annotated[int, Field(ge=0)] = 0
    """Inferences at a time in one worker; 0: the machine's cores divided by the workers."""
    share_models: bool = True
    """Several workers on Linux inherit the loaded networks instead of loading their own; not on GPUs."""
    inference_queue: Annotated[int, Field(ge=0)] = 32
    """Requests that may wait for an inference; one more is answered 503."""
    inference_deadline_s: Annotated[float, Field(gt=0)] = 10.0
    """Who would wait longer for an inference is answered 503 instead."""

    search_concurrency: Annotated[int, Field(ge=0)] = 0
    """Searches at a time in one worker; 0: as many as inferences."""
    search_exact_limit: Annotated[int, Field(ge=0, le=10_000)] = 2_000
    """Collections to this many templates are compared whole, larger ones by their codes first (PERFORMANCE.md)."""
    search_cache_mb: Annotated[int, Field(ge=0)] = 256
    """Memory of one worker for collections searched lately: codes, 72 bytes a template, or all of a small one; 0: none,
    and everything is compared in the database."""
    search_cache_whole_limit: Annotated[int, Field(ge=0)] = 20_000
    """Collections to this many templates are held as a whole, 2 KB a template, in at most half of that memory."""
    search_hnsw_from: Annotated[int, Field(ge=0)] = 0
    """Collections of so many templates or more, too large for the cache, get an HNSW graph; 0: none (decision 0013)."""

    max_image_bytes: Positive = 10 * 1024 * 1024
    max_image_pixels: Positive = 40_000_000
    max_request_bytes: Positive = 64 * 1024 * 1024
    max_faces_per_image: Positive = 100

    detection_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    min_face_pixels: Positive = 40
    min_sharpness: Annotated[float, Field(ge=0)] = 40.0
    min_brightness: Annotated[float, Field(ge=0, le=255)] = 35.0
    max_brightness: Annotated[float, Field(ge=0, le=255)] = 235.0
    max_yaw_deg: Annotated[float, Field(gt=0, le=90)] = 45.0
    max_pitch_deg: Annotated[float, Field(gt=0, le=90)] = 40.0

    erasure_journal: Path | None = None
    """A file that remembers who was erased, for when an older backup is restored; unset: in the data directory. Keep
    it where restoring the database does not restore it."""
    retention_sweep: bool = True
    """Erase every minute whose time is over; off where `vultus retention sweep` runs from a timer."""

    operator_token: SecretStr | None = None
    """Turns the operator's API on, for whoever sends it; needs the operator's database login."""
    metrics_token: SecretStr | None = None
    """Turns `/metrics` on for Prometheus, which sends it as a bearer token."""
    rekognition_region: str | None = None
    """Answers the Rekognition protocol only to requests signed for this region; unset: for any."""
    object_store_endpoints: Annotated[list[str], NoDecode] = []
    """S3-compatible servers, comma-separated (`https://minio.example:9000`), that tenants may have photos fetched from;
    none by default, and nothing is fetched."""
    signup_enabled: bool = True
    public_rate: str = "30/minute"
    """For signing up, in and refreshing: so many requests from one address."""
    redis_url: SecretStr | None = None
    """Counts rates in Redis instead of PostgreSQL: `redis://...`."""
    cors_origins: Annotated[list[str], NoDecode] = []
    """Web origins whose pages may call the API, comma-separated; none by default."""
    header_timeout_s: Positive = 10
    """A connection that has not sent a request's headers by then is closed."""
    body_timeout_s: Positive = 20
    """A body that stalls for so long is refused."""
    access_token_minutes: Positive = 15
    refresh_token_days: Positive = 30

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: text on a terminal, JSON otherwise."""

    @field_validator("public_rate")
    @classmethod
    def _check_rate(cls, value: str) -> str:
        return check_rate(value)

    @field_validator(
        "previous_secret_keys", "cors_origins", "object_store_endpoints", "extra_model_packs", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("object_store_endpoints")
    @classmethod
    def _check_endpoints(cls, value: list[str]) -> list[str]:
        for endpoint in value:
            if not re.fullmatch(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?", endpoint):
                raise ValueError(f"{endpoint} is no origin: want https://host or https://host:port, without a path")
        return value

    @model_validator(mode="after")
    def _refuse_unsafe(self) -> Self:
        self._refuse_weak_secrets()
        if self.secret_key is None and self.environment == "production":
            raise ValueError("VULTUS_SECRET_KEY must be set in production (at least 32 random bytes)")
        for name in ("database_url", "database_admin_url"):
            url = getattr(self, name)
            if url is not None:
                _refuse_malformed_database_url(name, url.get_secret_value())
        if self.log_level == "debug" and self.environment == "production":
            raise ValueError("VULTUS_LOG_LEVEL must not be debug in production")
        if "*" in self.cors_origins and self.environment == "production":
            raise ValueError("VULTUS_CORS_ORIGINS must name the origins in production, not *")
        if self.min_brightness >= self.max_brightness:
            raise ValueError("VULTUS_MIN_BRIGHTNESS must be below VULTUS_MAX_BRIGHTNESS")
        return self

    def _refuse_weak_secrets(self) -> None:
        for name in ("secret_key", "operator_token", "metrics_token"):
            secret = getattr(self, name)
            if secret is not None:
                _refuse_weak_secret(secret.get_secret_value(), f"VULTUS_{name.upper()}")
        for previous in self.previous_secret_keys:
            _refuse_weak_secret(previous.get_secret_value(), "VULTUS_PREVIOUS_SECRET_KEYS")

    @property
    def resolved_data_dir(self) -> Path:
        """The data directory as an absolute path."""
        return self.data_dir.expanduser().resolve()

    @property
    def erasure_journal_path(self) -> Path:
        """Where erasures are remembered."""
        own = self.erasure_journal
        return own.expanduser().resolve() if own is not None else self.resolved_data_dir / "erasures.jsonl"

    def signing_keys(self) -> list[bytes]:
        """The secret as bytes, then the previous ones.

        In development the first is made once and kept in `<data_dir>/secret.key` (mode 0600).
        """
        if self.secret_key is not None:
            current = self.secret_key.get_secret_value()
        else:
            current = _development_secret(self.resolved_data_dir / "secret.key")
        return [current.encode(), *(previous.get_secret_value().encode() for previous in self.previous_secret_keys)]


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()


def check_rate(rate: str) -> str:
    """The rate itself, if it can be read (`60/minute; 1000/day`); raises `ValueError`."""
    for item in parse_many(rate):
        if item.amount < 1 or item.get_expiry() > LONGEST_WINDOW_S:
            raise ValueError(f"a rate admits at least 1, in at most {LONGEST_WINDOW_S} seconds")
    return rate


def _refuse_weak_secret(secret: str, name: str) -> None:
    # The messages name the rule and never the value: they end up in logs.
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"{name} is shorter than {MIN_SECRET_BYTES} bytes")
    if len(set(secret)) < 10:
        raise ValueError(f"{name} repeats too few characters to be random")


def _refuse_malformed_database_url(name: str, url: str) -> None:
    # The message does not quote the value: it holds a password.
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError(f"VULTUS_{name.upper()} is not a postgresql:// address")


def _development_secret(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        secret = secrets.token_urlsafe(48)
        file.write(secret)
    return secret
