"""`vultus import csv`: photos that a manifest lists, each with its person."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from app.cli.imports import options
from app.cli.imports.folder import read_file
from app.cli.imports.people import Catalog, LeftOut, Photo
from app.cli.imports.rows import read_manifest
from app.cli.imports.run import ImportRun
from app.errors import OperatorError
from app.services.photos.face_reader import FaceChoice


def import_csv(
    source: Annotated[
        Path,
        typer.Argument(
            help="A CSV file with the columns photo and subject and, optionally, external_image_id and consent; or one "
            "JSON object per line (.jsonl). A photo is a path relative to the file."
        ),
    ],
    collection: options.Collection,
    url: options.Url = options.LOCAL,
    key: options.Key = "",
    face: options.Face = FaceChoice.ONLY,
    consent: options.Consent = None,
    threads: options.Threads = 4,
    dry_run: options.DryRun = False,
    progress: options.Ledger = None,
    report: options.Report = None,
) -> None:
    """Register the people of a manifest. Needs the scope register.

    A row without a photo creates a subject without faces. Repeat the command after an interruption: nothing is stored
    twice. Exits with 1 if something was left out.
    """
    catalog = read_csv(source, consent)
    run = ImportRun(url, key, collection, face, threads, dry_run, progress, report)
    run.bring(catalog, str(source.absolute()))


def read_csv(source: Path, consent: str | None = None) -> Catalog:
    """List the photos of a manifest; raises `OperatorError` if it has none or cannot be read."""
    catalog = Catalog()
    for line, row in read_manifest(source, ("photo", "subject"), optional=("external_image_id", "consent")):
        if not row["subject"]:
            catalog.left_out.append(LeftOut(f"line {line}", "no_subject", "The column subject is empty."))
            continue
        person = catalog.person(row["subject"], consent=row.get("consent") or consent)
        if person is None:
            continue
        if not row["photo"]:
            catalog.people.append(person)
            continue
        path = source.absolute().parent / row["photo"]
        source_id = f"{person.subject}: {row['photo']}"
        catalog.photos.append(Photo(source_id, person, partial(read_file, path), row.get("external_image_id") or None))
    if not catalog.photos and not catalog.people and not catalog.left_out:
        raise OperatorError(f"{source} lists no photos.")
    return catalog
