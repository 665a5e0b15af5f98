"""Judge an installation for `vultus doctor`: each finding says what was found and, unless it is well, what to do."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from app.persistence.provisioning.inspection import DatabaseFacts
from app.settings import Settings

MIN_SERVER_VERSION = 140_000
MIN_VECTOR_VERSION = (0, 8)
MAX_CLOCK_OFFSET_S = 2.0
BROKEN_CLOCK_OFFSET_S = 60.0
MIN_OPEN_FILES = 4096
MIN_FREE_BYTES = 1 << 30
MAX_BACKUP_AGE = timedelta(days=2)


class Status(StrEnum):
    """How serious a finding is: the service does not work with `failed`, and works less well with `warning`."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `remedy` is empty if it is well."""

    check: str
    status: Status
    found: str
    remedy: str = ""


def judge(check: str, is_well: bool, found: str, remedy: str, *, otherwise: Status = Status.FAILED) -> Finding:
    """Return a finding that is well, or `otherwise` with the remedy."""
    return Finding(check, Status.OK, found) if is_well else Finding(check, otherwise, found, remedy)


def judge_settings(settings: Settings) -> Iterator[Finding]:
    """Judge the settings that nothing else shows: environment, signing up, proxies, metrics."""
    is_production = settings.environment == "production"
    yield judge(
        "environment",
        is_production,
        settings.environment,
        "Set VULTUS_ENVIRONMENT=production: it refuses unsafe settings. `vultus init` writes all that it needs.",
        otherwise=Status.WARNING,
    )
    yield judge(
        "signup",
        not settings.signup_enabled,
        "anybody may create a tenant" if settings.signup_enabled else "only the operator creates tenants",
        "Set VULTUS_SIGNUP_ENABLED=false, unless the service is open to everybody.",
        otherwise=Status.WARNING,
    )
    proxies = ", ".join(settings.trusted_proxies)
    yield judge(
        "proxies",
        bool(proxies),
        f"trusted: {proxies}" if proxies else "none is trusted",
        "Set VULTUS_TRUSTED_PROXIES to the address of your proxy. Without it, all clients share one address in the "
        "limits, and one bad client locks everybody out.",
        otherwise=Status.WARNING,
    )
    yield judge(
        "metrics",
        settings.metrics_token is not None,
        "served with a token" if settings.metrics_token is not None else "not served",
        "Set VULTUS_METRICS_TOKEN to a random token, and give it to Prometheus.",
        otherwise=Status.WARNING,
    )


def judge_database(facts: DatabaseFacts, head: str, *, must_be_confined: bool) -> Iterator[Finding]:
    """Judge versions, migration, the login's rights, row-level security and the clock."""
    major, minor = divmod(facts.server_version, 10_000)
    yield judge(
        "postgresql",
        facts.server_version >= MIN_SERVER_VERSION,
        f"version {major}.{minor}, up to {facts.max_connections} connections",
        f"Use PostgreSQL {MIN_SERVER_VERSION // 10_000} or newer.",
    )
    yield _judge_vector(facts.vector_version)
    yield judge(
        "migrations",
        facts.revision == head,
        f"at {facts.revision or 'none'}; this version needs {head}",
        "Stop the service and run `vultus migrate`. If the database is newer, install the version that migrated it.",
    )
    if must_be_confined:
        yield from _judge_login(facts)
    yield from _judge_row_security(facts)
    yield _judge_clock(facts.clock_offset_s)


def _judge_vector(version: str | None) -> Finding:
    numbers = tuple(int(part) for part in version.split(".")[:2]) if version else (0, 0)
    return judge(
        "pgvector",
        numbers >= MIN_VECTOR_VERSION,
        f"version {version}" if version else "not installed in this database",
        "Install pgvector 0.8 or newer (Debian: apt install postgresql-NN-pgvector). Then, as a superuser: CREATE "
        "EXTENSION IF NOT EXISTS vector; ALTER EXTENSION vector UPDATE.",
    )


def _judge_login(facts: DatabaseFacts) -> Iterator[Finding]:
    faults = []
    if facts.bypasses_row_security:
        faults.append("bypasses row-level security or creates roles")
    if facts.owns_tables:
        faults.append("owns tables")
    if not facts.is_service:
        faults.append("is no member of vultus_app")
    yield judge(
        "service login",
        not faults,
        f"{facts.login} {' and '.join(faults) or 'is a member of vultus_app and has no other rights'}",
        "Give the service a login of its own in VULTUS_DATABASE_URL: CREATE ROLE vultus LOGIN PASSWORD '...' IN ROLE "
        "vultus_app. Keep the owner's for VULTUS_DATABASE_ADMIN_URL.",
    )


def _judge_row_security(facts: DatabaseFacts) -> Iterator[Finding]:
    if facts.revision is None:
        return
    tables = ", ".join(facts.unprotected_tables)
    yield judge(
        "row-level security",
        not tables,
        f"not in force on {tables}" if tables else "in force on every table with rows of tenants",
        "Run `vultus migrate`. If somebody turned it off: ALTER TABLE ... ENABLE ROW LEVEL SECURITY, and FORCE it.",
    )
    if facts.visible_without_tenant is not None:
        sees = facts.visible_without_tenant > 0
        yield judge(
            "isolation",
            not sees,
            "the service sees subjects without naming a tenant" if sees else "without a tenant, no subject is visible",
            "Stop the service: tenants may see each other. Compare the policies with those of a new database.",
        )


def _judge_clock(offset_s: float) -> Finding:
    is_broken = abs(offset_s) > BROKEN_CLOCK_OFFSET_S
    return judge(
        "clock",
        abs(offset_s) <= MAX_CLOCK_OFFSET_S,
        f"the database is {abs(offset_s):.1f} s {'ahead of' if offset_s > 0 else 'behind'} this host",
        "Synchronize both clocks by NTP: tokens, signatures and expiry dates depend on them.",
        otherwise=Status.FAILED if is_broken else Status.WARNING,
    )


def judge_open_files(limit: int) -> Finding:
    """Judge how many files, and so connections, a process of the service may open."""
    return judge(
        "open files",
        limit >= MIN_OPEN_FILES,
        f"up to {limit} in this shell; a service manager sets its own limit",
        f"Allow at least {MIN_OPEN_FILES}: LimitNOFILE=65536 under systemd, `ulimit -n 65536` in a shell.",
        otherwise=Status.WARNING,
    )


def judge_free_space(directory: str, free_bytes: int) -> Finding:
    """Judge the free space where the journal, the packs and waiting photos lie."""
    return judge(
        "disk space",
        free_bytes >= MIN_FREE_BYTES,
        f"{free_bytes / 2**30:.1f} GiB free in {directory}",
        "Free at least 1 GiB: photos that wait, and the erasure journal, need it.",
        otherwise=Status.WARNING,
    )


def judge_backup(made_at: datetime | None) -> Finding:
    """Judge the age of the last backup that `vultus backup create` made with these settings."""
    if made_at is None:
        found = "`vultus backup create` made none with this data directory"
    else:
        age = datetime.now(UTC) - made_at
        found = f"made {age.days} days and {age.seconds // 3600} hours ago"
    return judge(
        "backup",
        made_at is not None and datetime.now(UTC) - made_at <= MAX_BACKUP_AGE,
        found,
        "Run `vultus backup create FILE` every day, and copy the file and the erasure journal to another host.",
        otherwise=Status.WARNING,
    )


def has_failed(findings: Iterable[Finding]) -> bool:
    """Return whether any finding keeps the service from working."""
    return any(finding.status is Status.FAILED for finding in findings)
