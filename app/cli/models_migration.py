"""`vultus models migrate | coverage | switch | erase`: from one recognizer to another, collection by collection."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from app.cli.migration_ledger import Ledger
from app.cli.operator import open_services
from app.cli.photo_manifest import PhotoOfSubject, read_subject_photos, split_store, topmost_folder
from app.cli.progress import progress as showing_progress
from app.cli.settings import command_settings
from app.cli.tables import show_rows
from app.domain.collections import Recognizers
from app.errors import OperatorError
from app.evaluation.datasets import PHOTO_ENDINGS
from app.ml.packs import ModelPack, PackLibrary
from app.persistence.provisioning.addresses import provisioned_database
from app.services.collections.recognizer_directory import RecognizerDirectory
from app.services.collections.recognizers import CollectionRecognizerService, RecognizerOverview
from app.services.maintenance.model_migration import MigrationReport, MigrationTarget, ModelMigration, SourcePhoto
from app.services.paging import MAX_PAGE, PageRequest
from app.services.photos.object_stores import ObjectFetcher
from app.settings import Settings
from app.wiring.operator import services_at
from app.wiring.search import build_search

_IDENTITY = re.compile(r"[^/]+:[0-9a-f]{16}")
"""A recognizer as the database names it: its file and the beginning of its digest."""

TenantOption = Annotated[UUID, typer.Option("--tenant", help="The tenant's id.")]
CollectionOption = Annotated[str, typer.Option("--collection")]
AcceptMissingOption = Annotated[
    bool, typer.Option("--accept-missing", help="Go on although subjects would not be found any more.")
]


def migrate(
    to: Annotated[str, typer.Option("--to", help="The pack whose recognizer the faces are stored with.")],
    tenant: TenantOption,
    photos: Annotated[
        str,
        typer.Option(help="A directory, a CSV with photo and subject, or s3://bucket/folder of the tenant's store."),
    ],
    collection: CollectionOption = "default",
    subjects: Annotated[
        bool, typer.Option("--subjects", help="In a directory: each folder at its top is a subject.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Photos at a time.")] = 2,
    progress: Annotated[
        Path | None, typer.Option(help="A file that notes which photos are done; those in it are left out.")
    ] = None,
) -> None:
    """Store what another recognizer makes of a collection's faces, beside what the one in use made of them.

    Stored faces are found in the photos with the recognizer in use, and keep their ids; nobody is registered who was
    not before. Where a photo's subject is named, another picture of theirs than those stored is taken as well. Nothing
    changes for searches meanwhile. Can be run again, all over or with `--progress` from where it was. Exits with 1 if a
    photo gave no face.
    """
    if not photos.strip():
        raise OperatorError("--photos is empty.")
    settings = command_settings()
    recognizer = _recognizer_of(to, settings)
    if recognizer not in _packs(settings):
        settings = settings.model_copy(update={"extra_model_packs": [*settings.extra_model_packs, to]})
    asyncio.run(_migrate(settings, tenant, collection, recognizer, photos, subjects, threads, progress, to))


async def _migrate(
    settings: Settings,
    tenant: UUID,
    collection: str,
    recognizer: str,
    place: str,
    subjects: bool,
    threads: int,
    noted: Path | None,
    to: str,
) -> None:
    from app.wiring.analyzer import build_analyzer  # noqa: PLC0415 - it imports the inference libraries

    async with provisioned_database(settings) as addresses, services_at(settings, addresses) as services:
        await services.require_tenant(tenant)
        objects = ObjectFetcher(
            services.database,
            services.keyring,
            endpoints=settings.object_store_endpoints,
            max_bytes=settings.max_image_bytes,
        )
        search = build_search(settings, addresses.service, services.keyring)
        try:
            listed = await _read_sources(objects, tenant, place, subjects)
            analyzer = build_analyzer(settings)
            migration = ModelMigration(
                services.database,
                services.keyring,
                services.trails,
                analyzer,
                search,
                MigrationTarget(tenant, collection, recognizer),
            )
            begun = await migration.begin()
            typer.echo(
                f"Servers that have {to} store new faces with both from now on; those without store them with the old "
                f"alone, and you run this again before you switch."
            )
            about = f"{tenant} {begun.gallery.collection_id} {recognizer} since {begun.since}"
            with Ledger(noted, about) as ledger, showing_progress() as shown:
                left = [one for one in listed if not ledger.has(one)]
                if len(left) < len(listed):
                    typer.echo(f"{len(listed) - len(left)} photos are done by {noted} and left out.")
                steps = shown.steps("Storing", len(left))

                def advance(photo: SourcePhoto, is_done: bool) -> None:
                    if is_done:
                        ledger.note(photo)
                    steps.advance()

                try:
                    await migration.run(begun, left, threads=threads, advance=advance)
                except BaseException:
                    typer.echo(f"Interrupted: {_count(migration.report)} Run it again to go on.", err=True)
                    raise
        finally:
            await search.close()
            await objects.close()
    typer.echo(_count(migration.report))
    for photo, why in migration.report.failures:
        typer.echo(f"  {photo}: {why}", err=True)
    if migration.report.failures:
        raise typer.Exit(1)


def _count(report: MigrationReport) -> str:
    return (
        f"{report.faces} faces of {report.used} photos stored, {report.known} photos known already, "
        f"{len(report.failures)} without a face to store."
    )


async def _read_sources(objects: ObjectFetcher, tenant: UUID, place: str, subjects: bool) -> list[SourcePhoto]:
    """The photos of the place; raises `OperatorError` where there are none."""
    store = split_store(place)
    listed: Sequence[PhotoOfSubject]
    if store is not None:
        bucket, folder = store
        prefix = f"{folder.rstrip('/')}/" if folder else ""
        names = await objects.list_names(tenant, bucket, prefix)
        listed = [
            PhotoOfSubject(
                f"s3://{bucket}/{name}", topmost_folder(name.removeprefix(prefix).split("/")) if subjects else None
            )
            for name in names
            if Path(name).suffix.lower() in PHOTO_ENDINGS
        ]
    else:
        listed = read_subject_photos(Path(place), with_subjects=subjects)
    if not listed:
        raise OperatorError(f"{place} holds no photos.")
    return [SourcePhoto(one.photo, _reader(objects, tenant, one.photo), one.subject) for one in listed]


def _reader(objects: ObjectFetcher, tenant: UUID, photo: str) -> Callable[[], Awaitable[bytes]]:
    store = split_store(photo)
    if store is not None:
        return partial(objects.fetch, tenant, *store)
    return partial(asyncio.to_thread, Path(photo).read_bytes)


def coverage(
    tenant: TenantOption,
    collection: CollectionOption = "default",
    missing: Annotated[
        str | None, typer.Option(help="A recognizer, or its pack: list the subjects that a switch to it would lose.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """How many faces, of how many subjects, each recognizer embedded, and which a collection is searched with."""
    if missing is not None:
        recognizer = _recognizer_of(missing, command_settings())
        subjects = asyncio.run(_list_missing(tenant, collection, recognizer))
        show_rows([{"subject": subject} for subject in subjects], as_json)
        return

    async def run() -> RecognizerOverview:
        async with _recognizers(tenant) as service:
            return await service.get(collection)

    _show(asyncio.run(run()), as_json)


async def _list_missing(tenant: UUID, collection: str, recognizer: str) -> list[str]:
    found, cursor = list[str](), None
    async with _recognizers(tenant) as service:
        while True:
            page = await service.list_missing(collection, recognizer, PageRequest(MAX_PAGE, cursor))
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found


def switch(
    to: Annotated[str, typer.Option("--to", help="The pack, or its recognizer, that the collection is searched with.")],
    tenant: TenantOption,
    collection: CollectionOption = "default",
    alone: Annotated[
        bool, typer.Option("--alone", help="Store with it alone from now on; else with the one before as well.")
    ] = False,
    accept_missing: AcceptMissingOption = False,
) -> None:
    """Search a collection with another recognizer from now on, or go back.

    The server must have its pack (VULTUS_MODEL_PACK or VULTUS_EXTRA_MODEL_PACKS). Faces are registered with the one
    before as well, so that going back loses nobody, until `--alone` is given.
    """
    settings = command_settings()
    recognizer = _recognizer_of(to, settings)

    async def run() -> RecognizerOverview:
        async with _recognizers(tenant) as service:
            now = await service.get(collection)
            before = now.secondary if now.in_use == recognizer else now.in_use
            has_faces = any(one.coverage.faces for one in now.known)
            secondary = None if alone or not has_faces else before
            if secondary is not None and secondary not in _packs(settings):
                raise OperatorError(
                    f"{secondary} is not loaded by these settings: add its pack to VULTUS_EXTRA_MODEL_PACKS, or "
                    f"store with {to} alone (--alone)."
                )
            return await service.choose(collection, Recognizers(recognizer, secondary), accept_missing=accept_missing)

    _show(asyncio.run(run()))
    typer.echo(f"Every server of this database must have {to} by now; else the collection answers 503 there.")


def erase(
    recognizer: Annotated[str, typer.Option(help="As `coverage` names it; or its pack.")],
    tenant: TenantOption,
    collection: CollectionOption = "default",
    accept_missing: AcceptMissingOption = False,
) -> None:
    """Erase what a recognizer made of a collection's faces; not of one that it is searched or stored with."""
    named = _recognizer_of(recognizer, command_settings())

    async def run() -> RecognizerOverview:
        async with _recognizers(tenant) as service:
            await service.erase(collection, named, accept_missing=accept_missing)
            return await service.get(collection)

    _show(asyncio.run(run()))


def _packs(settings: Settings) -> dict[str, ModelPack]:
    """The packs of the settings that are at hand, by recognizer; nothing is downloaded."""
    library = PackLibrary.of(settings)
    packs = [library.find(name, may_download=False) for name in (settings.model_pack, *settings.extra_model_packs)]
    return {pack.recognizer: pack for pack in packs}


def _recognizer_of(name: str, settings: Settings) -> str:
    """The recognizer that is meant: itself, as `coverage` names it, or a pack, by its name or its directory.

    Raises `OperatorError` where two packs of the settings bear the name, and what `PackLibrary.find` raises.
    """
    if _IDENTITY.fullmatch(name):
        return name
    named = [recognizer for recognizer, pack in _packs(settings).items() if pack.name == name]
    if len(named) > 1:
        raise OperatorError(f"{name} is the name of two packs: say which recognizer is meant, {' or '.join(named)}.")
    return named[0] if named else PackLibrary.of(settings).find(name, may_download=False).recognizer


@asynccontextmanager
async def _recognizers(tenant: UUID) -> AsyncIterator[CollectionRecognizerService]:
    directory = RecognizerDirectory({name: pack.name for name, pack in _packs(command_settings()).items()})
    async with open_services() as services, services.in_tenant(tenant) as own:
        yield own.recognizers(directory)


def _show(overview: RecognizerOverview, as_json: bool = False) -> None:
    roles = {overview.secondary: "stored with", overview.in_use: "searched"}
    show_rows(
        [
            {
                "recognizer": one.recognizer,
                "pack": one.pack or "(not in these settings)",
                "use": roles.get(one.recognizer, ""),
                "faces": str(one.coverage.faces),
                "subjects": str(one.coverage.subjects),
            }
            for one in overview.known
        ],
        as_json,
    )
