"""`vultus import compreface`: the people and saved photos of a CompreFace recognition service.

Embeddings are not taken over: those of other networks say nothing to ours.
"""

from typing import Annotated

import typer

from app.cli.imports import options
from app.cli.imports.compreface_database import open_database
from app.cli.imports.compreface_rest import open_rest
from app.cli.imports.run import ImportRun
from app.errors import OperatorError
from app.services.photos.face_reader import FaceChoice


def import_compreface(
    collection: options.Collection,
    source_url: Annotated[str, typer.Option("--from", help="Address of CompreFace, to read over its API.")] = "",
    source_key: Annotated[
        str,
        typer.Option(
            "--from-key", envvar="COMPREFACE_API_KEY", help="API key of the recognition service; better there."
        ),
    ] = "",
    database: Annotated[
        str,
        typer.Option(
            "--from-database",
            envvar="COMPREFACE_DATABASE_URL",
            help="Its PostgreSQL database instead; better in the environment.",
        ),
    ] = "",
    service: Annotated[
        str, typer.Option(help="In a database with several: the recognition service, by name or API key.")
    ] = "",
    url: options.Url = options.LOCAL,
    key: options.Key = "",
    face: options.Face = FaceChoice.LARGEST,
    consent: options.Consent = None,
    threads: options.Threads = 4,
    dry_run: options.DryRun = False,
    progress: options.Ledger = None,
    report: options.Report = None,
) -> None:
    """Register the people of CompreFace from the photos that it saved. Needs the scope register.

    Names that cannot be ids are kept as names. Repeat the command after an interruption: nothing is stored twice. Exits
    with 1 if something was left out, such as an example without a saved photo.
    """
    if bool(source_url) == bool(database):
        raise OperatorError("Name one source: --from URL, or --from-database (COMPREFACE_DATABASE_URL).")
    run = ImportRun(url, key, collection, face, threads, dry_run, progress, report)
    opened = open_rest(source_url, source_key, consent) if source_url else open_database(database, service, consent)
    with opened as (name, catalog):
        run.bring(catalog, name)
