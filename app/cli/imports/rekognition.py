"""`vultus import rekognition`: the photos behind a collection of AWS Rekognition, by a manifest of your own.

AWS exports neither photos nor face vectors, so only you know which photo a face came from.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import botocore.session
import typer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.cli.imports import options
from app.cli.imports.folder import read_file
from app.cli.imports.people import Catalog, LeftOut, Photo, PhotoMissing
from app.cli.imports.rows import read_manifest
from app.cli.imports.run import ImportRun
from app.cli.photo_manifest import split_store
from app.errors import OperatorError
from app.services.photos.face_reader import FaceChoice

Load = Callable[[str], bytes]


def import_rekognition(
    manifest: Annotated[
        Path,
        typer.Argument(
            help="A CSV file with the columns photo, subject and, optionally, external_image_id; or one JSON object "
            "per line (.jsonl). A photo is a path or key, or s3://bucket/key."
        ),
    ],
    collection: options.Collection,
    photos: Annotated[
        str, typer.Option(help="Where the photos are: a directory, or s3://bucket/prefix; by default beside the file.")
    ] = "",
    store_endpoint: Annotated[str | None, typer.Option(help="S3 server other than AWS.")] = None,
    url: options.Url = options.LOCAL,
    key: options.Key = "",
    face: options.Face = FaceChoice.LARGEST,
    consent: options.Consent = None,
    threads: options.Threads = 4,
    dry_run: options.DryRun = False,
    progress: options.Ledger = None,
    report: options.Report = None,
) -> None:
    """Register people of AWS Rekognition from their photos. Needs the scope register.

    Reads S3 with the login that AWS's own programs use. Repeat the command after an interruption: nothing is stored
    twice. Exits with 1 if something was left out.
    """
    place = photos or str(manifest.absolute().parent)
    store = S3Photos(store_endpoint, threads)

    def load(photo: str) -> bytes:
        where = photo if split_store(photo) else _join(place, photo)
        inside = split_store(where)
        return store.fetch(*inside) if inside is not None else read_file(Path(where))

    catalog = read_rekognition(manifest, load, consent)
    run = ImportRun(url, key, collection, face, threads, dry_run, progress, report)
    run.bring(catalog, str(manifest.absolute()))


def read_rekognition(manifest: Path, load: Load, consent: str | None = None) -> Catalog:
    """List the photos of a manifest; raises `OperatorError` if it has none or cannot be read."""
    catalog = Catalog()
    for line, row in read_manifest(manifest, ("photo", "subject"), optional=("external_image_id",)):
        photo = row["photo"]
        if not photo or not row["subject"]:
            empty = "photo" if not photo else "subject"
            catalog.left_out.append(LeftOut(f"line {line}", f"no_{empty}", f"The column {empty} is empty."))
            continue
        person = catalog.person(row["subject"], consent=consent)
        if person is not None:
            external = row.get("external_image_id") or None
            catalog.photos.append(Photo(f"{person.subject}: {photo}", person, partial(load, photo), external))
    if not catalog.photos and not catalog.left_out:
        raise OperatorError(f"{manifest} lists no photos.")
    return catalog


class S3Photos:
    """Fetches photos from S3; connects with the first one."""

    def __init__(self, endpoint: str | None, connections: int) -> None:
        self._endpoint = endpoint
        self._connections = connections
        self._client: Any = None

    def fetch(self, bucket: str, name: str) -> bytes:
        """Return an object; raises `PhotoMissing`."""
        try:
            content: bytes = self._connect().get_object(Bucket=bucket, Key=name)["Body"].read()
        except ClientError as exc:
            raise PhotoMissing(f"S3 says {exc.response['Error']['Code']}.") from exc
        except (BotoCoreError, ValueError) as exc:
            raise PhotoMissing(f"S3 cannot be read: {type(exc).__name__}.") from exc
        return content

    def _connect(self) -> Any:
        if self._client is None:
            config = Config(max_pool_connections=self._connections, s3={"addressing_style": "path"})
            region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
            session = botocore.session.get_session()
            self._client = session.create_client("s3", region_name=region, endpoint_url=self._endpoint, config=config)
        return self._client


def _join(place: str, photo: str) -> str:
    return f"{place.rstrip('/')}/{photo.lstrip('/')}" if split_store(place) else str(Path(place) / photo)
