"""`vultus doctor`: check an installation, and say of each fault what to do about it."""

import asyncio
import getpass
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import typer
from limits.storage import storage_from_string

from app.cli.operator import command_keyring
from app.cli.settings import command_settings
from app.cli.tables import AsJson, Quiet, show_rows
from app.errors import AppError, OperatorError
from app.ml.packs.library import PackLibrary
from app.persistence.provisioning.addresses import provisioned_database
from app.persistence.provisioning.backup_record import read_backup_time
from app.persistence.provisioning.embedded import EmbeddedPostgres
from app.persistence.provisioning.inspection import DatabaseFacts, inspect_database
from app.persistence.provisioning.logins import check_operator_login
from app.persistence.provisioning.migrations import head_revision
from app.services.maintenance.diagnosis import (
    Finding,
    Status,
    has_failed,
    judge,
    judge_backup,
    judge_database,
    judge_free_space,
    judge_open_files,
    judge_settings,
)
from app.settings import Settings
from app.telemetry import configure_logging

_MARKS = {Status.OK: "ok", Status.WARNING: "warning", Status.FAILED: "FAILED"}


def doctor(as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Check settings, database, isolation, clock, storage, model packs, limits and backups.

    Changes nothing. Exits with 1 if anything keeps the service from working; warnings do not.
    """
    findings = list(_examine())
    rows = [
        {"check": one.check, "status": one.status.value, "found": one.found, "remedy": one.remedy} for one in findings
    ]
    if as_json or quiet:
        show_rows(rows, as_json, quiet)
    else:
        for one in findings:
            typer.echo(f"{_MARKS[one.status]:<8} {one.check}: {one.found}")
            if one.remedy:
                typer.echo(f"         -> {one.remedy}")
    raise typer.Exit(1 if has_failed(findings) else 0)


def _examine() -> Iterator[Finding]:
    try:
        settings = command_settings()
    except OperatorError as exc:
        yield Finding("settings", Status.FAILED, str(exc), "Correct the variable; `vultus settings` explains each.")
        return
    yield Finding("settings", Status.OK, "every variable is known and valid")
    yield from judge_settings(settings)
    yield from _check_database(settings)
    yield from _check_storage(settings)
    yield from _check_packs(settings)
    yield from _check_inference(settings)
    yield from _check_counters(settings)
    yield from _check_limits()
    yield judge_backup(read_backup_time(settings.resolved_data_dir))


def _check_database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is None:
        embedded = EmbeddedPostgres(settings.resolved_data_dir)
        yield Finding(
            "database",
            Status.WARNING,
            f"the embedded one, in {embedded.directory}{'' if embedded.exists() else ' (not created yet)'}",
            "For production, set VULTUS_DATABASE_URL to a PostgreSQL with pgvector.",
        )
        if not embedded.exists():
            return
    remedy = "Start PostgreSQL, and check host, port, name and password in VULTUS_DATABASE_URL."
    try:
        facts = asyncio.run(_inspect(settings))
    except (OperatorError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
        yield Finding("database", Status.FAILED, f"not reached: {exc or type(exc).__name__}", remedy)
        return
    if settings.database_url is not None:
        yield Finding("database", Status.OK, f"reached as {facts.login}")
        yield _check_operator(settings)
    yield from judge_database(facts, head_revision(), must_be_confined=settings.environment == "production")


async def _inspect(settings: Settings) -> DatabaseFacts:
    async with provisioned_database(settings) as addresses:
        return await inspect_database(addresses.service)


def _check_operator(settings: Settings) -> Finding:
    remedy = "Check VULTUS_DATABASE_ADMIN_URL. `vultus migrate` and the operator's commands need it, the service not."
    if settings.database_admin_url is None:
        found = "VULTUS_DATABASE_ADMIN_URL is not set here: enough for the service, not for the operator's commands"
        return Finding("owner login", Status.OK, found)
    try:
        problem = asyncio.run(check_operator_login(settings))
    except OperatorError as exc:
        problem = str(exc)
    return judge("owner login", problem is None, problem or "reached", remedy)


def _check_storage(settings: Settings) -> Iterator[Finding]:
    directory, user = settings.resolved_data_dir, getpass.getuser()
    yield judge(
        "data directory",
        _can_write(directory),
        f"{directory}, {'writable' if _can_write(directory) else 'missing or not writable'} for {user}",
        f"Create it, and let the service's user own it: install -d -m 0700 -o vultus {directory}. Run this command as "
        f"that user.",
    )
    journal = settings.erasure_journal_path
    is_kept = os.access(journal, os.W_OK) if journal.exists() else _can_write(journal.parent)
    yield judge(
        "erasure journal",
        is_kept,
        f"{journal}, {'writable' if is_kept else 'not writable'} for {user}",
        "Let the service's user write it: without the journal, restoring a backup brings erased people back.",
    )
    if directory.is_dir():
        yield judge_free_space(str(directory), shutil.disk_usage(directory).free)
        yield _check_photo_store(settings)


def _can_write(directory: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


def _check_photo_store(settings: Settings) -> Finding:
    # These import the inference libraries, which most commands do not need.
    from app.wiring.object_stores import open_spool  # noqa: PLC0415

    place = settings.photo_store or f"{settings.resolved_data_dir}/photos"
    spool, tenant_id, photo_id, content = open_spool(settings, command_keyring()), uuid4(), uuid4(), b"vultus doctor"

    async def write_and_delete() -> bool:
        key_id = await spool.put(tenant_id, photo_id, content)
        try:
            return await spool.get(tenant_id, photo_id, key_id) == content
        finally:
            await spool.delete(tenant_id, photo_id)

    works = False
    try:
        works = asyncio.run(write_and_delete())
        found = f"{place}: an object was written, read and deleted"
    except AppError as exc:
        found = f"{place}: {exc.detail}"
    return judge(
        "photo store",
        works,
        found,
        "Check VULTUS_PHOTO_STORE, its endpoint and its access key, and that the bucket exists. Albums wait there.",
    )


def _check_packs(settings: Settings) -> Iterator[Finding]:
    library = PackLibrary.from_settings(settings)
    for name in (settings.model_pack, *settings.extra_model_packs):
        try:
            pack = library.find(name, may_download=False)
        except OperatorError as exc:
            yield Finding(
                f"model pack {name}",
                Status.FAILED,
                str(exc).partition(" Choose one")[0],
                f"Run `vultus models install {name}` on a machine with internet access, and copy the directory here.",
            )
            continue
        yield judge(
            f"model pack {pack.name}",
            not pack.knows_only_drawings or settings.environment == "development",
            f"digest {pack.digest[:12]}, license: {pack.license}",
            "It recognizes only drawn faces. Set VULTUS_MODEL_PACK to a pack for photographs.",
        )


def _check_inference(settings: Settings) -> Iterator[Finding]:
    if settings.inference_url is None:
        return
    # This imports the inference libraries, which no other check needs.
    from app.wiring.analyzer import build_remote_finder  # noqa: PLC0415

    configure_logging("error", settings.log_format)  # on stderr: stdout may be JSON
    try:
        finder = build_remote_finder(settings)
        found = finder.check()
        finder.client.close()
    except OperatorError as exc:
        yield Finding("inference server", Status.FAILED, str(exc), "Configure both sides alike.")
    except AppError as exc:
        remedy = "Start `vultus inference` there; check VULTUS_INFERENCE_URL, the token and the certificates."
        yield Finding("inference server", Status.FAILED, exc.detail, remedy)
    else:
        described = f"version {found.version}, {', '.join(found.providers)}, {found.precision}"
        yield Finding("inference server", Status.OK, described)


def _check_counters(settings: Settings) -> Iterator[Finding]:
    if settings.redis_url is None:
        return
    is_reached = bool(storage_from_string(settings.redis_url.get_secret_value()).check())
    yield judge(
        "rate counters",
        is_reached,
        "Redis answers" if is_reached else "Redis does not answer",
        "Start Redis or Valkey, and check VULTUS_REDIS_URL; or unset it to count in PostgreSQL.",
    )


def _check_limits() -> Iterator[Finding]:
    if os.name == "posix":
        import resource  # noqa: PLC0415 - Windows has none

        yield judge_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
