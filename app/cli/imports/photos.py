"""`vultus import photos`: index photos into a collection of any server that speaks the Rekognition protocol.

AWS does not export face vectors, so moving from AWS means indexing the photos again. The command is an ordinary client
with an access key: it runs on any machine and has the same limits and audit trail as every other client.
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

from app.cli.photo_manifest import PhotoToImport, describe_left_out, list_left_out, read_photos
from app.cli.progress import show_progress
from app.errors import OperatorError

_MAX_FACES_PER_CALL = 100
_RETRIES = 10


@dataclass
class Import:
    """The progress of an import; `users` are the face ids by user."""

    faces: int = 0
    users: dict[str, list[str]] = field(default_factory=dict)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    """(photo or user, reason, message)"""


def import_photos(
    source: Annotated[
        Path,
        typer.Argument(
            help="A directory, or a CSV file with the column photo and, optionally, external_image_id and user_id."
        ),
    ],
    collection: Annotated[str, typer.Option(help="Collection; created if it does not exist.")],
    endpoint: Annotated[
        str, typer.Option(help="URL of the Rekognition endpoint.")
    ] = "http://127.0.0.1:8000/rekognition",
    region: Annotated[str, typer.Option(help="Region to sign requests for.")] = "us-east-1",
    users: Annotated[bool, typer.Option("--users", help="In a directory: make each folder a user.")] = False,
    max_faces: Annotated[
        int, typer.Option(min=1, max=100, help="Maximum faces to index per photo, the largest first.")
    ] = 1,
    quality: Annotated[str, typer.Option(help="Quality filter: NONE, LOW, AUTO, MEDIUM or HIGH.")] = "AUTO",
    threads: Annotated[int, typer.Option(min=1, max=64, help="Photos to send at the same time.")] = 4,
    report: Annotated[Path | None, typer.Option(help="CSV file to write with everything that failed, and why.")] = None,
) -> None:
    """Index photos through the Rekognition protocol.

    The access key is read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Repeat the command after an interruption: a
    photo is not stored twice under the same external id. Exits with 1 if a photo was not indexed.
    """
    photos, left_out = read_photos(source, with_users=users), list_left_out(source)
    if left_out:
        typer.echo(describe_left_out(left_out), err=True)
    if not photos:
        raise OperatorError(f"{source} contains no photos.")
    client = _client(endpoint, region, threads)
    _ensure_collection(client, collection)
    options = {"CollectionId": collection, "MaxFaces": max_faces, "QualityFilter": quality.upper()}
    done = _index(client, photos, options, threads)
    if done.users:
        _associate(client, collection, done)
    _report(done, len(photos), left_out, report)
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
    with show_progress() as progress, ThreadPoolExecutor(threads) as pool:
        steps = progress.steps("Indexing", len(photos))

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
    """Return the ids of the indexed faces, or the reason and message of a failure."""
    try:
        image: dict[str, Any]
        if photo.in_store is not None:
            image = {"S3Object": dict(zip(("Bucket", "Name"), photo.in_store, strict=True))}
        else:
            image = {"Bytes": Path(photo.photo).read_bytes()}
        external = {"ExternalImageId": photo.external_image_id} if photo.external_image_id else {}
        answer = client.index_faces(Image=image, **external, **options)
    except ClientError as exc:
        # A server of ours says more than AWS's sentence.
        more = exc.response["ResponseMetadata"].get("HTTPHeaders", {}).get("x-vultus-detail")
        return exc.response["Error"]["Code"], more or exc.response["Error"]["Message"]
    except (BotoCoreError, OSError) as exc:
        return type(exc).__name__, str(exc)
    if not answer["FaceRecords"]:
        reasons = {reason for face in answer["UnindexedFaces"] for reason in face["Reasons"]}
        return ", ".join(sorted(reasons)) or "NO_FACE", "No face in the photo was stored."
    return [record["Face"]["FaceId"] for record in answer["FaceRecords"]]


def _associate(client: Any, collection: str, done: Import) -> None:
    with show_progress() as progress:
        steps = progress.steps("Associating", len(done.users))
        for user, faces in sorted(done.users.items()):
            try:
                _ensure_user(client, collection, user)
                for part in _split(faces):
                    answer = client.associate_faces(CollectionId=collection, UserId=user, FaceIds=part)
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


def _split(faces: list[str]) -> Iterable[list[str]]:
    return (faces[start : start + _MAX_FACES_PER_CALL] for start in range(0, len(faces), _MAX_FACES_PER_CALL))


def _report(done: Import, photos: int, left_out: list[Path], report: Path | None) -> None:
    typer.echo(f"{photos} photos: {done.faces} faces indexed, {len(done.users)} users, {len(done.failures)} failed.")
    if report is not None:
        with report.open("w", newline="", encoding="utf-8") as file:
            skipped = [(str(path), "left out", "its ending is not that of a photo") for path in left_out]
            csv.writer(file).writerows([("what", "reason", "message"), *done.failures, *skipped])
    else:
        for what, reason, message in done.failures[:10]:
            typer.echo(f"  {what}: {reason}: {message}", err=True)
        if len(done.failures) > 10:
            typer.echo(f"  and {len(done.failures) - 10} more; use --report FILE to list all.", err=True)
