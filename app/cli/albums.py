"""`vultus albums`: create albums on any server, upload photos, and find everybody's photos by a selfie.

The command is an ordinary client with an API key: it runs on any machine and has the same limits as other clients.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from app.cli.album_client import MAX_SELFIES, AlbumClient, Refused
from app.cli.album_upload import Upload, upload_photos
from app.cli.photo_manifest import describe_left_out, list_left_out, read_album_photos
from app.cli.progress import ProgressDisplay, show_progress
from app.cli.tables import AsJson, Quiet, show_rows, show_values
from app.errors import OperatorError

cli = typer.Typer(help="Albums on a server: many photos, found by a selfie.", no_args_is_help=True)

Album = Annotated[str, typer.Argument(help="The album's id.")]
Url = Annotated[str, typer.Option(help="Address of the server.")]
Key = Annotated[
    str, typer.Option(envvar="VULTUS_API_KEY", help="API key; better in the environment, where other users see none.")
]
LOCAL = "http://127.0.0.1:8000"


@cli.command("create")
def create_album(
    album: Album,
    url: Url = LOCAL,
    key: Key = "",
    title: Annotated[str | None, typer.Option(help="Title.")] = None,
    expected: Annotated[int | None, typer.Option(min=1, help="How many photos will come, for the progress.")] = None,
    keep: Annotated[str, typer.Option(help="`nothing`, or `crops`: a picture of each face.")] = "nothing",
    expires_at: Annotated[str | None, typer.Option(help="When to erase it, such as 2027-12-31T23:59:59Z.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Create an album. Needs the scope register."""
    body = {"id": album, "title": title, "expected": expected, "keep": keep, "expires_at": expires_at}
    with open_client(url, key) as client:
        made = client.send("POST", "/albums", json={name: value for name, value in body.items() if value is not None})
    _show_album(made, as_json, quiet)


@cli.command("upload")
def upload(
    album: Album,
    source: Annotated[
        Path, typer.Argument(help="A directory, or a CSV file with the column photo and, optionally, external_id.")
    ],
    url: Url = LOCAL,
    key: Key = "",
    create: Annotated[bool, typer.Option("--create", help="Create the album unless it exists.")] = False,
    connections: Annotated[int, typer.Option(min=1, max=64, help="Photos to send at the same time.")] = 4,
    wait: Annotated[bool, typer.Option(help="Wait until the photos are processed.")] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Upload photos, wait until they are processed, and list those that failed. Needs the scope register.

    Repeat the command after an interruption: it sends what the album does not have yet. Exits with 1 if a photo failed.
    """
    photos, left_out = read_album_photos(source), list_left_out(source)
    if left_out:
        typer.echo(describe_left_out(left_out), err=True)
    if not photos:
        raise OperatorError(f"{source} contains no photos.")
    with open_client(url, key, connections) as client, show_progress() as progress:
        if create:
            create_unless_it_exists(client, {"id": album, "expected": len(photos)})
        done = upload_photos(client, album, photos, progress, connections)
        counts = _wait(client, album, progress) if wait else client.find(album)["photos"]
        failed = [_failure(photo) for photo in client.list_photos(album, "failed")] if wait else []
    _report(album, done, counts, failed, as_json=as_json, quiet=quiet)
    if failed or done.refused:
        raise typer.Exit(1)


@cli.command("list")
def list_albums(url: Url = LOCAL, key: Key = "", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List albums by id, with their photos by state. Needs the scope register, delete or admin."""
    with open_client(url, key) as client:
        rows = [_describe(album) for album in client.list_albums()]
    show_rows(rows, as_json, quiet)


@cli.command("show")
def show_album(
    album: Album,
    url: Url = LOCAL,
    key: Key = "",
    failed: Annotated[bool, typer.Option("--failed", help="List the photos that failed instead.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show an album with its photos by state, or those that failed. Needs the scope register, delete or admin."""
    with open_client(url, key) as client:
        if failed:
            show_rows([_failure(photo) for photo in client.list_photos(album, "failed")], as_json, quiet)
        else:
            _show_album(client.find(album), as_json, quiet)


@cli.command("search")
def search_album(
    album: Album,
    photos: Annotated[list[Path], typer.Argument(help="One to five photos; the largest face of each is looked for.")],
    url: Url = LOCAL,
    key: Key = "",
    together: Annotated[bool, typer.Option("--together", help="Only photos that show all of them.")] = False,
    review: Annotated[bool, typer.Option("--review", help="Also photos that a person should look at.")] = False,
    threshold: Annotated[float | None, typer.Option(help="Minimum similarity, -1 to 1; default: the album's.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List every photo of an album that shows somebody, most similar first. Needs the scope recognize."""
    if len(photos) > MAX_SELFIES:
        raise typer.BadParameter(f"{len(photos)} photos were named; at most {MAX_SELFIES} are allowed.")
    fields = {"match": "all" if together else "any", "decision": "review" if review else "match"}
    if threshold is not None:
        fields["threshold"] = repr(threshold)
    with open_client(url, key) as client:
        found = client.search(album, [photo.read_bytes() for photo in photos], fields)
    show_rows([_found(photo) for photo in found["items"]], as_json, quiet)


@cli.command("delete")
def delete_album(
    album: Album,
    url: Url = LOCAL,
    key: Key = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase an album with its photos and faces. Needs the scope delete."""
    with open_client(url, key) as client:
        counts = client.find(album)["photos"]
        if not yes:
            typer.confirm(f"Erase {album} with {counts['total']} photos and {counts['faces']} faces?", abort=True)
        client.send("DELETE", f"/albums/{quote(album, safe='')}")


@contextmanager
def open_client(url: str, key: str, connections: int = 1) -> Iterator[AlbumClient]:
    """Open a client; what the server refuses becomes an `OperatorError`."""
    if not key:
        raise OperatorError("Set VULTUS_API_KEY to an API key, or use --key.")
    try:
        yield AlbumClient(url, key, connections=connections)
    except Refused as exc:
        raise OperatorError(str(exc)) from exc


def create_unless_it_exists(client: AlbumClient, album: dict[str, Any]) -> None:
    """Create an album, given as the route takes it."""
    try:
        client.send("POST", "/albums", json=album)
    except Refused as exc:
        if exc.code != "collection_exists":
            raise


def _wait(client: AlbumClient, album: str, progress: ProgressDisplay) -> dict[str, Any]:
    """Wait until no photo waits; return the final counts."""
    waiting = client.wait_until_processed(album)
    counts = next(waiting)
    before = counts["done"] + counts["failed"]
    steps = progress.steps("Processing", counts["received"] + counts["working"])
    for counts in waiting:
        finished = counts["done"] + counts["failed"]
        for _ in range(finished - before):
            steps.advance()
        before = finished
    return counts


def _report(
    album: str,
    done: Upload,
    counts: dict[str, Any],
    failed: list[dict[str, str]],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    refused = [dict(zip(("photo", "code", "detail"), one, strict=True)) for one in done.refused]
    if as_json:
        said = {"album": album, "sent": done.sent, "skipped": done.skipped, "photos": counts}
        typer.echo(json.dumps({**said, "refused": refused, "failed": failed}))
        return
    bad = [{"photo": row["photo"], "when": "upload", **row} for row in refused]
    bad += [{"photo": row["photo"], "when": "processing", **row} for row in failed]
    if not quiet:
        had = f", {done.skipped} were there" if done.skipped else ""
        waiting = counts["received"] + counts["working"]
        still = f", {waiting} wait" if waiting else ""
        typer.echo(
            f"{done.sent} photos sent{had}. The album has {counts['done']} processed photos with {counts['faces']} "
            f"faces{still}; {len(bad)} failed.",
            file=sys.stderr if bad else sys.stdout,
        )
    if bad:
        show_rows(bad, as_json=False, quiet=quiet)


def _failure(photo: dict[str, Any]) -> dict[str, str]:
    return {"photo": photo["external_id"], "code": photo["code"] or "", "detail": photo["detail"] or ""}


def _found(photo: dict[str, Any]) -> dict[str, str]:
    best = photo["faces"][0]
    people = ",".join(str(person) for person in sorted({face["person"] + 1 for face in photo["faces"]}))
    rate = best["false_match_rate"]
    return {
        "photo": photo["external_id"] or photo["image_id"],
        "decision": best["decision"],
        "similarity": f"{best['similarity']:.4f}",
        "false match rate": "" if rate is None else f"{rate:.3g}",
        "people": people,
    }


def _describe(album: dict[str, Any]) -> dict[str, str]:
    counts = {name: str(count) for name, count in album["photos"].items()}
    closed = "yes" if album["closed_at"] else "no"
    return {
        "album": album["id"],
        "title": album["title"] or "",
        **counts,
        "closed": closed,
        "expires": album["expires_at"],
    }


def _show_album(album: dict[str, Any], as_json: bool, quiet: bool) -> None:
    show_values(_describe(album), as_json, quiet)
