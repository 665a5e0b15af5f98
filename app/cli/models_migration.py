"""`vultus models migrate`, `coverage`, `switch` and `erase`: move a collection to another recognizer."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from app.cli.database import announce_database
from app.cli.migration_ledger import Ledger
from app.cli.operator import open_services
from app.cli.photo_manifest import (
    PhotoOfSubject,
    describe_left_out,
    list_left_out,
    read_subject_photos,
    split_store,
    top_folder,
)
from app.cli.progress import show_progress
from app.cli.settings import command_settings
from app.cli.tables import AsJson, Quiet, show_rows
from app.domain.collections import Recognizers
from app.errors import OperatorError
from app.evaluation.datasets import PHOTO_ENDINGS
from app.ml.packs.library import PackLibrary
from app.ml.packs.pack import ModelPack
from app.persistence.provisioning.addresses import provisioned_database
from app.persistence.provisioning.logins import check_operator_login, check_service_login
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.services.collections.recognizers import CollectionRecognizerService, RecognizerOverview
from app.services.maintenance.model_migration import (
    MigrationReport,
    MigrationStart,
    MigrationTarget,
    ModelMigration,
    SourcePhoto,
)
from app.services.paging import MAX_PAGE, PageRequest
from app.services.photos.object_stores import ObjectFetcher
from app.settings import Settings
from app.wiring.operator import operator_services_at
from app.wiring.search import build_search

_IDENTITY = re.compile(r"[^/]+:[0-9a-f]{16}")
"""A recognizer's identity in the database: its file name and the first 16 digits of its digest."""

TenantOption = Annotated[str, typer.Option("--tenant", help="The tenant's id or name.")]
CollectionOption = Annotated[str, typer.Option("--collection", help="The collection.")]
AcceptMissingOption = Annotated[
    bool, typer.Option("--accept-missing", help="Continue even if searches no longer find some subjects.")
]


def migrate(
    to: Annotated[str, typer.Option("--to", help="Model pack of the new recognizer.")],
    tenant: TenantOption,
    photos: Annotated[
        str,
        typer.Option(
            help="A directory, a CSV file with photo and subject, or s3://bucket/folder in the tenant's object store."
        ),
    ],
    collection: CollectionOption = "default",
    subjects: Annotated[
        bool, typer.Option("--subjects", help="In a directory: make each top-level folder a subject.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Photos to process at the same time.")] = 2,
    progress: Annotated[
        Path | None, typer.Option(help="File that records finished photos; a later run skips them.")
    ] = None,
) -> None:
    """Add templates of another recognizer to the faces of a collection, from photos.

    The current recognizer finds the stored faces in the photos. They keep their ids, and nobody new is registered. If
    the subject of a photo is given, the photo may also be one that is not stored yet. Searches are not affected. Repeat
    the command to resume; with --progress it skips finished photos. Exits with 1 if a photo has no face to store.
    """
    if not photos.strip():
        raise OperatorError("--photos is empty; give a directory, a CSV file or s3://bucket/folder.")
    settings = command_settings()
    recognizer = _recognizer_of(to, settings)
    if recognizer not in _packs(settings):
        settings = settings.model_copy(update={"extra_model_packs": [*settings.extra_model_packs, to]})
    asyncio.run(_migrate(settings, (tenant, collection, recognizer), to, photos, progress, subjects, threads))


async def _migrate(
    settings: Settings,
    chosen: tuple[str, str, str],
    to: str,
    source: str,
    ledger: Path | None,
    subjects: bool,
    threads: int,
) -> None:
    from app.wiring.analyzer import build_analyzer  # noqa: PLC0415 - imports the inference libraries

    await check_service_login(settings)
    await check_operator_login(settings)
    announce_database(settings)
    async with provisioned_database(settings) as addresses, operator_services_at(settings, addresses) as services:
        tenant, collection, recognizer = chosen
        target = MigrationTarget(await services.find_tenant(tenant), collection, recognizer)
        objects = ObjectFetcher(
            services.database,
            services.keyring,
            endpoints=settings.object_store_endpoints,
            max_bytes=settings.max_image_bytes,
        )
        search = build_search(settings, addresses.service, services.keyring)
        try:
            photos = await _read_sources(objects, target.tenant_id, source, subjects)
            migration = ModelMigration(
                services.database, services.keyring, services.trails, build_analyzer(settings), search, target
            )
            start = await migration.begin()
            typer.echo(
                f"From now on, servers that load {to} store new faces with both recognizers. Servers without it store "
                "them with the old one only; repeat this command before you switch."
            )
            await _store(migration, start, target, photos, ledger, threads)
        finally:
            await search.close()
            await objects.close()
    _report(migration.report)


async def _store(
    migration: ModelMigration,
    start: MigrationStart,
    target: MigrationTarget,
    photos: Sequence[SourcePhoto],
    ledger_path: Path | None,
    threads: int,
) -> None:
    about = f"{target.tenant_id} {start.gallery.collection_id} {target.recognizer} since {start.last_erasure_seq}"
    with Ledger(ledger_path, about) as ledger, show_progress() as progress:
        unfinished = [photo for photo in photos if not ledger.has(photo)]
        if len(unfinished) < len(photos):
            typer.echo(f"Skipping {len(photos) - len(unfinished)} photos that {ledger_path} lists as finished.")
        steps = progress.steps("Storing", len(unfinished))

        def advance(photo: SourcePhoto, is_complete: bool) -> None:
            if is_complete:
                ledger.add(photo)
            steps.advance()

        try:
            await migration.run(start, unfinished, threads=threads, advance=advance)
        except BaseException:
            typer.echo(f"Interrupted. {_count(migration.report)} Repeat the command to resume.", err=True)
            raise


def _report(report: MigrationReport) -> None:
    typer.echo(_count(report))
    for photo, reason in report.failures:
        typer.echo(f"  {photo}: {reason}", err=True)
    if report.failures:
        raise typer.Exit(1)


def _count(report: MigrationReport) -> str:
    return (
        f"{report.faces} faces stored from {report.used} photos; {report.already_stored} photos already stored; "
        f"{len(report.failures)} photos failed."
    )


async def _read_sources(objects: ObjectFetcher, tenant: UUID, source: str, subjects: bool) -> list[SourcePhoto]:
    """List the photos of a directory, CSV file or object store; raises `OperatorError` if there are none."""
    store = split_store(source)
    listed: Sequence[PhotoOfSubject]
    if store is not None:
        bucket, folder = store
        prefix = f"{folder.rstrip('/')}/" if folder else ""
        names = await objects.list_names(tenant, bucket, prefix)
        listed = [
            PhotoOfSubject(
                f"s3://{bucket}/{name}", top_folder(name.removeprefix(prefix).split("/")) if subjects else None
            )
            for name in names
            if Path(name).suffix.lower() in PHOTO_ENDINGS
        ]
    else:
        listed = read_subject_photos(Path(source), with_subjects=subjects)
        left_out = list_left_out(Path(source))
        if left_out:
            typer.echo(describe_left_out(left_out), err=True)
    if not listed:
        raise OperatorError(f"{source} contains no photos.")
    return [SourcePhoto(entry.photo, _reader(objects, tenant, entry.photo), entry.subject) for entry in listed]


def _reader(objects: ObjectFetcher, tenant: UUID, photo: str) -> Callable[[], Awaitable[bytes]]:
    store = split_store(photo)
    if store is not None:
        return partial(objects.fetch, tenant, *store)
    return partial(asyncio.to_thread, Path(photo).read_bytes)


def coverage(
    tenant: TenantOption,
    collection: CollectionOption = "default",
    missing: Annotated[
        str | None, typer.Option(help="A recognizer or its pack: list the subjects without a template of it.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show how many faces and subjects each recognizer covers, and which recognizer searches use."""
    if missing is not None:
        recognizer = _recognizer_of(missing, command_settings())
        subjects = asyncio.run(_list_missing(tenant, collection, recognizer))
        show_rows([{"subject": subject} for subject in subjects], as_json, quiet)
        return

    async def run() -> RecognizerOverview:
        async with _recognizers(tenant) as service:
            return await service.get(collection)

    _show(asyncio.run(run()), as_json, quiet)


async def _list_missing(tenant: str, collection: str, recognizer: str) -> list[str]:
    found, cursor = list[str](), None
    async with _recognizers(tenant) as service:
        while True:
            page = await service.list_missing(collection, recognizer, PageRequest(MAX_PAGE, cursor))
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found


def switch(
    to: Annotated[str, typer.Option("--to", help="Model pack or recognizer to search with.")],
    tenant: TenantOption,
    collection: CollectionOption = "default",
    alone: Annotated[
        bool,
        typer.Option(
            "--alone", help="Store new faces with this recognizer only; by default also with the previous one."
        ),
    ] = False,
    accept_missing: AcceptMissingOption = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Search a collection with another recognizer from now on.

    The servers must load its pack (VULTUS_MODEL_PACK or VULTUS_EXTRA_MODEL_PACKS). New faces are also stored with the
    previous recognizer, so that you can switch back without losing anybody, until you pass --alone.
    """
    settings = command_settings()
    recognizer = _recognizer_of(to, settings)

    async def run() -> RecognizerOverview:
        async with _recognizers(tenant) as service:
            current = await service.get(collection)
            previous = current.secondary if current.in_use == recognizer else current.in_use
            has_faces = any(entry.coverage.faces for entry in current.recognizers)
            secondary = None if alone or not has_faces else previous
            if secondary is not None and secondary not in _packs(settings):
                raise OperatorError(
                    f"The settings do not load {secondary}: add its pack to VULTUS_EXTRA_MODEL_PACKS, or pass --alone "
                    f"to store new faces with {to} only."
                )
            return await service.choose(collection, Recognizers(recognizer, secondary), accept_missing=accept_missing)

    _show(asyncio.run(run()), as_json, quiet)
    typer.echo(
        f"Every server of this database must load {to} now; a server without it answers 503 for this collection.",
        err=as_json or quiet,
    )


def erase(
    recognizer: Annotated[str, typer.Option(help="The recognizer as `coverage` shows it, or its pack.")],
    tenant: TenantOption,
    collection: CollectionOption = "default",
    accept_missing: AcceptMissingOption = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Erase the templates of a recognizer from a collection. The collection must not use the recognizer."""
    named = _recognizer_of(recognizer, command_settings())

    async def run() -> RecognizerOverview:
        async with _recognizers(tenant) as service:
            await service.erase(collection, named, accept_missing=accept_missing)
            return await service.get(collection)

    _show(asyncio.run(run()), as_json, quiet)


def _packs(settings: Settings) -> dict[str, ModelPack]:
    """Return the configured packs by recognizer; downloads nothing."""
    library = PackLibrary.from_settings(settings)
    packs = [library.find(name, may_download=False) for name in (settings.model_pack, *settings.extra_model_packs)]
    return {pack.recognizer: pack for pack in packs}


def _recognizer_of(name: str, settings: Settings) -> str:
    """Resolve a recognizer's identity, a pack's name or a pack's directory to a recognizer.

    Raises `OperatorError` if two configured packs have the name, and the errors of `PackLibrary.find`.
    """
    if _IDENTITY.fullmatch(name):
        return name
    named = [recognizer for recognizer, pack in _packs(settings).items() if pack.name == name]
    if len(named) > 1:
        raise OperatorError(f"Two packs are named {name}; name the recognizer instead: {' or '.join(named)}.")
    return named[0] if named else PackLibrary.from_settings(settings).find(name, may_download=False).recognizer


@asynccontextmanager
async def _recognizers(tenant: str) -> AsyncIterator[CollectionRecognizerService]:
    directory = RecognizerDirectory({name: pack.name for name, pack in _packs(command_settings()).items()})
    async with open_services() as services, services.in_tenant(tenant) as tenant_services:
        yield tenant_services.recognizers(directory)


def _show(overview: RecognizerOverview, as_json: bool, quiet: bool) -> None:
    roles = {overview.secondary: "stored with", overview.in_use: "searched"}
    show_rows(
        [
            {
                "recognizer": entry.recognizer,
                "pack": entry.pack or "(not in these settings)",
                "use": roles.get(entry.recognizer, ""),
                "faces": str(entry.coverage.faces),
                "subjects": str(entry.coverage.subjects),
            }
            for entry in overview.recognizers
        ],
        as_json,
        quiet,
    )
