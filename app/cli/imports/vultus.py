"""`vultus import vultus`: subjects of another Vultus, over its API or from exported documents.

Documents have the embeddings, so the two servers need the same recognizer: `vultus models show` prints its name.
"""

import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from app.cli.album_client import AlbumClient, Refused
from app.cli.imports import options
from app.cli.imports.people import PhotoMissing, SubjectSource
from app.cli.imports.run import ImportRun
from app.errors import OperatorError

_ENDING = ".json"


def import_vultus(
    collection: options.Collection,
    source: Annotated[
        Path | None, typer.Argument(help="A directory or ZIP file with exported subjects, one JSON document each.")
    ] = None,
    source_url: Annotated[str, typer.Option("--from", help="Address of another Vultus instead.")] = "",
    source_key: Annotated[
        str,
        typer.Option(
            "--from-key", envvar="SOURCE_API_KEY", help="API key there, with embeddings:read and register or delete."
        ),
    ] = "",
    source_collection: Annotated[
        str, typer.Option("--from-collection", help="Collection there; by default the same name.")
    ] = "",
    url: options.Url = options.LOCAL,
    key: options.Key = "",
    threads: options.Threads = 4,
    dry_run: options.DryRun = False,
    progress: options.Ledger = None,
    report: options.Report = None,
) -> None:
    """Import subjects with their faces, consent and metadata from another Vultus. Needs the scope register.

    Subjects that the collection has already stay as they are. Repeat the command after an interruption: nothing is
    stored twice. Exits with 1 if something was left out.
    """
    if (source is None) == (not source_url):
        raise OperatorError("Name one source: a directory or ZIP file, or --from URL.")
    run = ImportRun(url, key, collection, threads=threads, is_dry_run=dry_run, progress=progress, report=report)
    if source is not None:
        run.bring_documents(_read_archive(source), str(source.absolute()))
        return
    if not source_key:
        raise OperatorError("Set SOURCE_API_KEY to an API key of the other server.")
    with closing(AlbumClient(source_url, source_key, connections=threads)) as client:
        name = source_collection or collection
        run.bring_documents(_list_subjects(client, name), f"{source_url}, {name}")


def _list_subjects(client: AlbumClient, collection: str) -> list[SubjectSource]:
    path = f"/collections/{quote(collection, safe='')}/subjects"

    def load(subject: str) -> dict[str, Any]:
        try:
            return client.send("GET", f"{path}/{quote(subject, safe='')}/export")
        except Refused as exc:
            raise PhotoMissing(f"The other server answered {exc.code}: {exc.detail}") from exc

    try:
        return [SubjectSource(one["subject"], partial(load, one["subject"])) for one in client.list_items(path)]
    except Refused as exc:
        raise OperatorError(f"--from: {exc}") from exc


def _read_archive(source: Path) -> list[SubjectSource]:
    found = list(_list_files(source))
    if not found:
        raise OperatorError(f"{source} contains no exported subjects: JSON documents whose names end in {_ENDING}.")
    return found


def _list_files(source: Path) -> Iterator[SubjectSource]:
    if source.is_dir():
        for file in sorted(source.rglob(f"*{_ENDING}")):
            yield SubjectSource(file.relative_to(source).as_posix(), partial(_read_document, file.read_bytes))
        return
    try:
        with zipfile.ZipFile(source) as archive:
            names = [name for name in archive.namelist() if name.endswith(_ENDING)]
    except (OSError, zipfile.BadZipFile) as exc:
        raise OperatorError(f"{source} is neither a directory nor a ZIP file: {exc}") from exc
    for name in sorted(names):
        yield SubjectSource(name, partial(_read_document, partial(_read_member, source, name)))


def _read_member(source: Path, name: str) -> bytes:
    with zipfile.ZipFile(source) as archive:  # one for each thread
        return archive.read(name)


def _read_document(read: Callable[[], bytes]) -> dict[str, Any]:
    try:
        document = json.loads(read())
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile) as exc:
        raise PhotoMissing(f"The document cannot be read: {type(exc).__name__}.") from exc
    if not isinstance(document, dict):
        raise PhotoMissing("The document is not a JSON object.")
    return document
