"""Declare, read and validate every setting, in one class; the values come from the environment and from `.env`.

A variable is the field's name in capitals with the prefix `VULTUS_`. The docstrings below the fields are documentation:
`make reference` writes `.env.example` and `docs/reference/settings.md` from them. Keep their first sentence short.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import DotEnvSettingsSource, NoDecode, SettingsConfigDict

from app.setting_formats import (
    check_hosts,
    check_origins,
    check_public_url,
    check_rate,
    check_receipt_keys,
    read_development_secret,
    read_network,
    refuse_lone_certificate,
    refuse_malformed_database_url,
    refuse_malformed_smtp_url,
    refuse_weak_secret,
)
from app.setting_tracing import TracingSettings
from app.unknown_settings import refuse_unknown

Positive = Annotated[int, Field(gt=0)]


class Settings(TracingSettings):
    """Configuration of one process; refuses unsafe values outside development."""

    model_config = SettingsConfigDict(
        env_prefix="VULTUS_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    # General

    environment: Literal["development", "production"] = "development"
    """`development` or `production`. Production refuses to start without a secret key, with debug logs or with the CORS
    origin `*`."""
    data_dir: Path = Path("data")
    """The directory of the embedded PostgreSQL and other files. These are the development secret, the synthetic model
    pack, the erasure journal and the metrics of several workers."""

    # Secrets

    secret_key: SecretStr | None = None
    """Signs tokens and protects templates; at least 32 random bytes. Required in production. In development, Vultus
    creates one in the data directory."""
    previous_secret_keys: Annotated[list[SecretStr], NoDecode] = []
    """Earlier secret keys that stay valid, comma-separated. Remove a key when nothing depends on it anymore
    (docs/how-to/replace-the-service-secret.md)."""
    previous_receipt_keys: Annotated[list[str], NoDecode] = []
    """Public keys of removed secrets, comma-separated. They verify the erasure receipts that these secrets signed. `GET
    /api/v1/receipt-keys` lists a secret's key as long as the secret is configured."""
    operator_token: SecretStr | None = None
    """The bearer token of the operator API; unset: the API is off. Use at least 32 random bytes. The API manages
    tenants and plans with the login of `VULTUS_DATABASE_ADMIN_URL`."""
    metrics_token: SecretStr | None = None
    """The bearer token for reading `/metrics`; unset: `/metrics` is off. Use at least 32 random bytes. Configure
    Prometheus to send it."""

    # Database

    database_url: SecretStr | None = None
    """A PostgreSQL with pgvector; unset: the embedded PostgreSQL. The format is
    `postgresql://user:password@host/name`."""
    database_admin_url: SecretStr | None = None
    """The login that owns the schema; unset: `VULTUS_DATABASE_URL`. `vultus migrate`, the operator's commands and the
    operator API use it."""
    database_backup_url: SecretStr | None = None
    """The login that `vultus backup` uses; unset: `VULTUS_DATABASE_ADMIN_URL`. `vultus backup create-login` creates one
    that reads every row and writes nothing."""
    database_pool_size: Positive = 10
    """The maximum number of connections for transactions, per worker. Frequent single-statement queries use up to half
    as many in addition. Searches have their own connections."""
    database_pgbouncer: bool = False
    """`true` behind PgBouncer in transaction mode. Vultus then uses no named prepared statements."""

    # Models

    model_pack: str = "buffalo_l"
    """A published pack, a directory in InsightFace's layout, or `synthetic`. The published packs are `buffalo_l`,
    `buffalo_s`, `buffalo_sc` and `antelopev2`. The synthetic pack recognizes only drawn faces. With `+mirror` after the
    name, each face is embedded twice, once mirrored."""
    extra_model_packs: Annotated[list[str], NoDecode] = []
    """Packs with further recognizers for collections, comma-separated. Their detectors are not loaded."""
    model_cache: Path = Path("~/.insightface")
    """The directory where published packs are stored, below `models/`."""
    match_threshold: Annotated[float, Field(ge=-1, le=1)] | None = None
    """The lowest cosine similarity of a match, -1 to 1; unset: the pack's. It replaces the threshold of the model pack
    for all collections."""

    # Inference

    providers: str = "auto"
    """`auto`, or ONNX Runtime providers in order, comma-separated. The names are `cuda`, `migraphx`, `rocm`,
    `openvino`, `coreml` and `cpu`; `auto` takes all that this installation has, in this order."""
    inference_threads: Annotated[int, Field(ge=0)] = 0
    """Concurrent inferences per worker; 0: its share of the cores, or 32 elsewhere."""
    inference_queue: Annotated[int, Field(ge=0)] = 32
    """The maximum number of requests waiting for an inference, per worker. Further requests receive status 503."""
    inference_deadline_s: Annotated[float, Field(gt=0)] = 10.0
    """The longest wait for an inference, in seconds. A request that would wait longer receives status 503."""
    share_models: bool = True
    """Workers on Linux share the memory of the loaded networks. It has no effect on GPUs."""

    # Inference on another host

    inference_url: str | None = None
    """Where the networks run, such as `https://gpu.example:8100`; unset: here."""
    inference_token: SecretStr | None = None
    """The bearer token of the inference server, on both sides. Use at least 32 random bytes."""
    inference_ca_file: Path | None = None
    """The certificates that sign the other side's, a PEM file. The inference server then demands one (mutual TLS)."""
    inference_cert_file: Path | None = None
    """This side's certificate, a PEM file. With it, `vultus inference` uses TLS."""
    inference_key_file: Path | None = None
    """The private key of that certificate, a PEM file."""
    inference_timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    """How long a photo may take at the inference server, in seconds. Its request then receives status 503."""
    inference_calls: Annotated[int, Field(ge=1, le=64)] = 4
    """Concurrent calls to the inference server, per worker. Photos that wait meanwhile share the next call."""
    inference_probe_s: Annotated[float, Field(ge=0)] = 10.0
    """Idle seconds before `/readyz` asks that server; 0: only after failures."""

    # Search

    search_concurrency: Annotated[int, Field(ge=0)] = 0
    """Concurrent searches per worker; 0: as many as inferences."""
    search_exact_limit: Annotated[int, Field(ge=0, le=10_000)] = 2_000
    """Collections of up to this many templates are compared exactly. Larger ones are first filtered by 512-bit codes
    (PERFORMANCE.md)."""
    search_cache_mb: Annotated[int, Field(ge=0)] = 256
    """Memory per worker for recently searched collections, in MiB; 0: none. A template takes 72 bytes as a code and
    1.5 KB with its embedding. Without the cache, all comparisons run in the database."""
    search_cache_whole_limit: Annotated[int, Field(ge=0)] = 20_000
    """Collections of up to this many templates are cached as embeddings. These take 1.5 KB per template, in at most
    half of the cache. Larger collections are cached as codes."""
    search_hnsw_from: Annotated[int, Field(ge=0)] = 0
    """Collections of at least this many templates get an HNSW graph; 0: none. Only collections too large for the cache
    get one (docs/explanation/hnsw.md)."""

    # Image limits

    max_image_bytes: Positive = 20 * 1024 * 1024
    """The largest image file, in bytes. The default, 20 MiB, suffices for phone photos of 48 megapixels."""
    max_image_pixels: Positive = 50_000_000
    """The largest image, in pixels (width x height). Lower it where memory is scarce."""
    max_request_bytes: Positive = 64 * 1024 * 1024
    """The largest body of a request with images, in bytes. The default is 64 MiB."""
    max_faces_per_image: Positive = 100
    """The maximum number of faces per image; the largest ones count."""

    # Face quality

    detection_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The minimum detection score of a face, between 0 and 1."""
    min_face_pixels: Positive = 40
    """The minimum size of a face to register, in pixels. Measured along the shorter side of its box."""
    min_sharpness: Annotated[float, Field(ge=0)] = 40.0
    """The minimum sharpness of a face to register. It is the variance of the Laplacian at a standardized contrast."""
    min_brightness: Annotated[float, Field(ge=0, le=255)] = 35.0
    """The minimum mean gray level of a face to register, 0 to 255."""
    max_brightness: Annotated[float, Field(ge=0, le=255)] = 235.0
    """The maximum mean gray level of a face to register, 0 to 255."""
    max_yaw_deg: Annotated[float, Field(gt=0, le=90)] = 45.0
    """How far a face to register may be turned to a side, in degrees."""
    max_pitch_deg: Annotated[float, Field(gt=0, le=90)] = 40.0
    """How far a face to register may be turned up or down, in degrees."""
    min_visible_share: Annotated[float, Field(ge=0, le=1)] = 0.67
    """The minimum share of a face to register that lies within the photo, 0 to 1. Measured on its box."""

    # Privacy

    erasure_journal: str = ""
    """Where erasures are recorded: a file, or `s3://bucket/prefix`. Empty: a file in the data directory. A bucket has
    the login of the photo store; servers on several hosts need one. After an older backup is restored, Vultus repeats
    the erasures in it. Keep it where restoring the database does not restore it."""
    retention_sweep: bool = True
    """Delete expired subjects every minute. Use `false` if a timer runs `vultus retention sweep`."""

    # Access and limits

    signup_enabled: bool = True
    """Anybody may create a tenant through the API."""
    access_token_minutes: Positive = 15
    """The lifetime of an access token, in minutes."""
    refresh_token_days: Positive = 30
    """The lifetime of a refresh token, in days."""
    public_rate: str = "30/minute"
    """The rate limit per client address for requests without a token. It covers signing up, signing in and refreshing
    tokens. Several limits are separated by semicolons: `60/minute; 1000/day`."""
    trusted_proxies: Annotated[list[str], NoDecode] = []
    """Addresses or networks of your proxies, comma-separated. From them only, Vultus takes the client's address from
    `X-Forwarded-For` and the scheme from `X-Forwarded-Proto`. Set it behind every proxy: otherwise all clients count as
    one address."""
    redis_url: SecretStr | None = None
    """A Redis that counts for rate limits, `redis://...`; unset: PostgreSQL."""
    cors_origins: Annotated[list[str], NoDecode] = []
    """Web origins whose pages may call the API, comma-separated."""
    object_store_endpoints: Annotated[list[str], NoDecode] = []
    """S3-compatible servers to fetch photos from, comma-separated. Tenants may name only these, for example
    `https://minio.example:9000`. Empty: nothing is fetched."""
    image_url_hosts: Annotated[list[str], NoDecode] = []
    """Hosts to fetch photos from by URL, comma-separated; unset: none. Each one is exact: `photos.example`,
    `photos.example:8443`, or `http://10.0.0.5:9000` without TLS. Every tenant may name their URLs."""
    image_url_networks: Annotated[list[str], NoDecode] = []
    """Networks beside the public ones where these hosts may be, comma-separated. A name in `VULTUS_IMAGE_URL_HOSTS`
    with another private, local or reserved address is refused. An address listed there needs no network."""
    image_url_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """The time to fetch all photos of a request, in seconds."""
    rekognition_region: str | None = None
    """The region of requests to the Rekognition protocol; unset: any. Those signed for another region are refused."""
    compreface: bool = True
    """Serve the CompreFace protocol under `/compreface`."""

    # Timeouts

    header_timeout_s: Positive = 10
    """The time to receive the headers of a request, in seconds. Slower connections are closed."""
    body_timeout_s: Positive = 20
    """How long the body of a request may stall, in seconds. A request that stalls longer is refused."""

    # Albums

    album_worker: bool | None = None
    """`true`: the server also processes photos of albums; unset: in development only. In production, run `vultus
    worker`, on as many hosts as you like."""
    worker_turns: Annotated[int, Field(ge=1, le=16)] = 2
    """How many turns, of up to 16 photos each, a worker processes at the same time. While the faces of
    one turn are stored, the photos of the other are analyzed."""
    max_waiting_photos: Positive = 20_000
    """How many photos of one tenant may wait to be processed. Further ones receive status 429."""
    max_video_bytes: Positive = 4 * 2**30
    """The largest video file, in bytes. The default is 4 GiB. Videos need `pip install 'vultus[video]'`."""
    max_video_uploads: Positive = 8
    """How many videos each server process receives at a time. Each needs up to 32 MiB of memory. Further ones receive
    status 503, unless their tenant sends fewer than its share."""
    max_waiting_videos: Positive = 100
    """How many videos of one tenant may wait to be processed. Further ones receive status 429."""
    photo_store: str = ""
    """Where photos wait: a directory, or `s3://bucket/prefix`. Empty: `photos` in the data directory. They are
    encrypted. Servers and workers on several hosts need a bucket."""
    photo_store_endpoint: str | None = None
    """The bucket's server, such as `https://minio.example:9000`; unset: AWS."""
    photo_store_public_endpoint: str | None = None
    """The bucket's server for the uploads of clients; unset: the same."""
    photo_store_region: str = "us-east-1"
    """The region of the bucket."""
    photo_store_access_key_id: str | None = None
    """The access key for the bucket."""
    photo_store_secret_access_key: SecretStr | None = None
    """The secret of that access key."""

    # Events

    event_days: Annotated[int, Field(ge=4, le=90)] = 7
    """After how many days events and their deliveries are deleted. Failed deliveries are repeated for 3 days."""
    webhook_internal_hosts: Annotated[list[str], NoDecode] = []
    """Receivers of webhooks inside your network, comma-separated. Each one is exact: `hooks.internal`,
    `hooks.internal:8443`, or `http://10.0.0.5:9000` without TLS. All others need https and public addresses."""
    webhook_turns: Annotated[int, Field(ge=1, le=1000)] = 64
    """How many webhooks a worker sends events to at the same time."""

    # Console

    console: bool = True
    """Serve the console, pages for people, at `/console`."""
    public_url: str | None = None
    """Where browsers reach this server, such as `https://example.com/faces`. Links in mails need it, and the console
    behind a proxy that serves it under a prefix. Unset: `/`."""
    console_session_hours: Annotated[int, Field(ge=1, le=720)] = 12
    """After how many hours a user signs in to the console again."""

    # Mail

    smtp_url: SecretStr | None = None
    """The server that sends mails: `smtp://user:password@mail.example:587`. Unset: no mails. `smtp://` needs
    STARTTLS, `smtps://` TLS from the start, `smtp+plain://` uses neither. Mails have links to accept an invitation or
    to choose a new password. They need `VULTUS_MAIL_FROM` and `VULTUS_PUBLIC_URL`."""
    mail_from: str | None = None
    """The sender of mails, such as `vultus@example.com`."""

    # Logging

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """`debug`, `info`, `warning` or `error`. Production refuses `debug`."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`, `json` or `console`. `auto` logs text on a terminal and JSON otherwise."""

    @field_validator("public_rate")
    @classmethod
    def _check_rate(cls, value: str) -> str:
        return check_rate(value)

    @field_validator(
        "previous_secret_keys",
        "cors_origins",
        "object_store_endpoints",
        "image_url_hosts",
        "image_url_networks",
        "webhook_internal_hosts",
        "extra_model_packs",
        "trusted_proxies",
        "previous_receipt_keys",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    _check_endpoints = field_validator("object_store_endpoints")(check_origins)
    _check_hosts = field_validator("image_url_hosts", "webhook_internal_hosts")(check_hosts)
    _check_public_url = field_validator("public_url", "inference_url")(check_public_url)
    _check_receipt_keys = field_validator("previous_receipt_keys")(check_receipt_keys)

    @field_validator("image_url_networks")
    @classmethod
    def _check_networks(cls, value: list[str]) -> list[str]:
        return [read_network(one, "allows every address, also those of this machine") for one in value]

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, value: list[str]) -> list[str]:
        return [read_network(one, "trusts everybody, so clients could choose their own address") for one in value]

    @model_validator(mode="after")
    def _refuse_unsafe(self) -> Self:
        self.refuse_weak_secrets()
        if self.secret_key is None and self.environment == "production":
            raise ValueError("VULTUS_SECRET_KEY must be set in production (at least 32 random bytes)")
        for name in ("database_url", "database_admin_url", "database_backup_url"):
            url = getattr(self, name)
            if url is not None:
                refuse_malformed_database_url(name, url.get_secret_value())
        if self.log_level == "debug" and self.environment == "production":
            raise ValueError("VULTUS_LOG_LEVEL must not be debug in production")
        if "*" in self.cors_origins and self.environment == "production":
            raise ValueError("VULTUS_CORS_ORIGINS must name the origins in production, not *")
        if self.smtp_url is not None:
            refuse_malformed_smtp_url(self.smtp_url.get_secret_value(), self.mail_from, self.public_url)
        refuse_lone_certificate(self.inference_cert_file, self.inference_key_file)
        if self.min_brightness >= self.max_brightness:
            raise ValueError("VULTUS_MIN_BRIGHTNESS must be below VULTUS_MAX_BRIGHTNESS")
        return self

    def refuse_weak_secrets(self) -> None:
        for name in ("secret_key", "operator_token", "metrics_token", "inference_token"):
            secret = getattr(self, name)
            if secret is not None:
                refuse_weak_secret(secret.get_secret_value(), f"VULTUS_{name.upper()}")
        for previous in self.previous_secret_keys:
            refuse_weak_secret(previous.get_secret_value(), "VULTUS_PREVIOUS_SECRET_KEYS")

    @property
    def works_on_albums(self) -> bool:
        """Whether a server with these settings also processes the photos of albums."""
        return self.environment == "development" if self.album_worker is None else self.album_worker

    @property
    def resolved_data_dir(self) -> Path:
        """Return the data directory as an absolute path."""
        return self.data_dir.expanduser().resolve()

    @property
    def erasure_journal_path(self) -> Path:
        """Return the path of the erasure journal's file, absolute; by default it is in the data directory."""
        if not self.erasure_journal or self.erasure_journal.startswith("s3://"):
            return self.resolved_data_dir / "erasures.jsonl"
        return Path(self.erasure_journal).expanduser().resolve()

    def signing_keys(self) -> list[bytes]:
        """Return the current secret key, then the previous ones.

        Without a secret key (in development), the first call creates one in `<data_dir>/secret.key` (mode 0600).
        """
        if self.secret_key is not None:
            current = self.secret_key.get_secret_value()
        else:
            current = read_development_secret(self.resolved_data_dir / "secret.key")
        return [current.encode(), *(previous.get_secret_value().encode() for previous in self.previous_secret_keys)]


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """Read the settings once and return them from then on; raises `UnknownSetting`."""
    refuse_unknown(os.environ, Settings.model_fields)
    refuse_unknown(DotEnvSettingsSource(Settings).env_vars, Settings.model_fields, source=" in .env")
    return Settings()
