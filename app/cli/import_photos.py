"""`vultus import photos`: index photos into a collection through the Rekognition protocol, here or at any server.

Nothing can be taken out of AWS but photos, so moving means indexing again. It goes through the public protocol, with
the caller's own access key: from any machine, under the same limits and with the same trail as every other client.
"""

import csv
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import botocore.session
import typer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.cli.photo_manifest import PhotoToImport, read_photos
from app.cli.progress import progress
from app.errors import OperatorError

cli = typer.Typer(help="Bring photos in.", no_args_is_help=True)

_MAX_FACES_A_CALL = 100
_RETRIES = 10


@dataclass
class Import:
    """What has been done so far."""

    faces: int = 0
    users: dict[str, list[str]] = field(default_factory=dict)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    """Photo (or user), reason, message."""


@cli.callback()
def _bring_in() -> None:
    """Keep `photos` a command of its own."""


@cli.command("photos")
def import_photos(
    place: Annotated[
        Path, typer.Argument(help="A directory, or a manifest: CSV with photo,external_image_id,user_id.")
    ],
    collection: Annotated[str, typer.Option(help="Created if it is not there.")],
    endpoint: Annotated[str, typer.Option(help="The Rekognition endpoint.")] = "http://127.0.0.1:8000/rekognition",
    region: Annotated[str, typer.Option(help="The region to sign for.")] = "us-east-1",
    users: Annotated[bool, typer.Option("--users", help="In a directory: each folder is a user.")] = False,
    max_faces: Annotated[int, typer.Option(min=1, max=100, help="Faces of a photo, the largest first.")] = 1,
    quality: Annotated[str, typer.Option(help="NONE, LOW, AUTO, MEDIUM or HIGH.")] = "AUTO",
    threads: Annotated[int, typer.Option(min=1, max=64, help="Photos at a time.")] = 4,
    report: Annotated[Path | None, typer.Option(help="CSV of what was not indexed, and why.")] = None,
) -> None:
    """Index photos; the access key is read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

    Run it again after an interruption: a photo that is there already under the same external id is not stored twice.
    Exits with 1 if a photo was not indexed.
    """
    photos = read_photos(place, with_users=users)
    if not photos:
        raise OperatorError(f"{place} holds no photos.")
    client = _client(endpoint, region, threads)
    _ensure_collection(client, collection)
    options = {"CollectionId": collection, "MaxFaces": max_faces, "QualityFilter": quality.upper()}
    done = _index(client, photos, options, threads)
    if done.users:
        _associate(client, collection, done)
    _report(done, len(photos), report)
    if done.failures:
        raise typer.Exit(1)


def _client(endpoint: str, region: str, threads: int) -> Any:
    if not (os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY")):
        raise OperatorError("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to an access key of your tenant.")
    config = Config(max_pool_connections=threads, retries={"mode": "standard", "total_max_attempts": _RETRIES})
    session = botocore.session.get_session()
    try:
        return session.create_client("rekognition", endpoint_url=endpoint, region_name=region, config=config)
    except (ValueError, BotoCoreError) as exc:
        raise OperatorError(f"--endpoint {endpoint}: {exc}") from exc


def _ensure_collection(client: Any, collection: str) -> None:
    try:
        with suppress(client.exceptions.ResourceAlreadyExistsException):
            client.create_collection(CollectionId=collection)
    except (ClientError, BotoCoreError) as exc:
        raise OperatorError(f"Collection {collection!r} cannot be used: {exc}") from exc


def _index(client: Any, photos: list[PhotoToImport], options: dict[str, Any], threads: int) -> Import:
    done, lock = Import(), threading.Lock()
    with progress() as shown, ThreadPoolExecutor(threads) as pool:
        steps = shown.steps("Indexing", len(photos))

        def work(photo: PhotoToImport) -> None:
            outcome = _index_one(client, photo, options)
            with lock:
                if isinstance(outcome, tuple):
                    done.failures.append((photo.photo, *outcome))
                else:
                    done.faces += len(outcome)
                    if photo.user_id is not None:
                        done.users.setdefault(photo.user_id, []).extend(outcome)
                steps.advance()

        for _ in pool.map(work, photos):
            pass
    return done


def _index_one(client: Any, photo: PhotoToImport, options: dict[str, Any]) -> list[str] | tuple[str, str]:
    """The ids of its faces, or why there are none."""
    try:
        image: dict[str, Any]
        if photo.in_store is not None:
            image = {"S3Object": dict(zip(("Bucket", "Name"), photo.in_store, strict=True))}
        else:
            image = {"Bytes": Path(photo.photo).read_bytes()}
        external = {"ExternalImageId": photo.external_image_id} if photo.external_image_id else {}
        answer = client.index_faces(Image=image, **external, **options)
    except ClientError as exc:
        return exc.response["Error"]["Code"], exc.response["Error"]["Message"]
    except (BotoCoreError, OSError) as exc:
        return type(exc).__name__, str(exc)
    if not answer["FaceRecords"]:
        reasons = {reason for face in answer["UnindexedFaces"] for reason in face["Reasons"]}
        return ", ".join(sorted(reasons)) or "NO_FACE", "No face of the photo was stored."
    return [record["Face"]["FaceId"] for record in answer["FaceRecords"]]


def _associate(client: Any, collection: str, done: Import) -> None:
    with progress() as shown:
        steps = shown.steps("Associating", len(done.users))
        for user, faces in sorted(done.users.items()):
            try:
                _ensure_user(client, collection, user)
                for some in _in_parts(faces):
                    answer = client.associate_faces(CollectionId=collection, UserId=user, FaceIds=some)
                    for refused in answer["UnsuccessfulFaceAssociations"]:
                        done.failures.append((user, ", ".join(refused["Reasons"]), refused["FaceId"]))
            except ClientError as exc:
                done.failures.append((user, exc.response["Error"]["Code"], exc.response["Error"]["Message"]))
            except BotoCoreError as exc:
                done.failures.append((user, type(exc).__name__, str(exc)))
            steps.advance()


def _ensure_user(client: Any, collection: str, user: str) -> None:
    with suppress(client.exceptions.ConflictException):
        client.create_user(CollectionId=collection, UserId=user)


def _in_parts(faces: list[str]) -> Iterable[list[str]]:
    return (faces[start : start + _MAX_FACES_A_CALL] for start in range(0, len(faces), _MAX_FACES_A_CALL))


def _report(done: Import, photos: int, report: Path | None) -> None:
    typer.echo(f"{photos} photos: {done.faces} faces indexed, {len(done.users)} users, {len(done.failures)} not done.")
    if report is not None:
        with report.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("what", "reason", "message"), *done.failures])
    else:
        for what, reason, message in done.failures[:10]:
            typer.echo(f"  {what}: {reason}: {message}", err=True)
        if len(done.failures) > 10:
            typer.echo(f"  and {len(done.failures) - 10} more; --report FILE lists all.", err=True)
