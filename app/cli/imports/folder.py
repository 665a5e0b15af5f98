"""`vultus import folder`: a directory with one folder per person."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from app.cli.imports import options
from app.cli.imports.people import Catalog, LeftOut, Photo, PhotoMissing
from app.cli.imports.run import ImportRun
from app.cli.photo_manifest import is_photo, top_folder
from app.errors import OperatorError
from app.services.photos.face_reader import FaceChoice

_MAX_EXTERNAL_ID = 255


def import_folder(
    source: Annotated[Path, typer.Argument(help="A directory; the name of each folder in it is a subject.")],
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
    """Register the people of a directory: one folder each, with photos at any depth. Needs the scope register.

    Repeat the command after an interruption: nothing is stored twice. Exits with 1 if something was left out.
    """
    catalog = read_folder(source, consent)
    run = ImportRun(url, key, collection, face, threads, dry_run, progress, report)
    run.bring(catalog, str(source.absolute()))


def read_folder(source: Path, consent: str | None = None) -> Catalog:
    """List the photos of a directory; raises `OperatorError` if it has none."""
    if not source.is_dir():
        raise OperatorError(f"{source} is not a directory.")
    catalog = Catalog()
    for file in sorted(source.rglob("*")):
        if file.is_file():
            _add(catalog, source, file, consent)
    if not catalog.photos and not catalog.left_out:
        raise OperatorError(f"{source} contains no files.")
    return catalog


def read_file(path: Path) -> bytes:
    """Return a photo; raises `PhotoMissing`."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise PhotoMissing(f"The file cannot be read: {exc.strerror or type(exc).__name__}.") from exc


def _add(catalog: Catalog, source: Path, file: Path, consent: str | None) -> None:
    inside = file.relative_to(source)
    path, folder = inside.as_posix(), top_folder(inside.parts)
    if not is_photo(file):
        catalog.left_out.append(LeftOut(path, "no_photo", "Its ending is not that of a photo."))
    elif folder is None:
        catalog.left_out.append(LeftOut(path, "no_subject", "It is in no folder, which would name the subject."))
    elif person := catalog.person(folder, consent=consent):
        external = path if len(path) <= _MAX_EXTERNAL_ID else None
        catalog.photos.append(Photo(path, person, partial(read_file, file), external))
