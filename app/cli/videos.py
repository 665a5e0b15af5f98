"""`vultus videos`: send videos to any server, and list who appears in them when."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.album_client import AlbumClient
from app.cli.albums import LOCAL, Key, Url, create_unless_it_exists, open_client
from app.cli.tables import AsJson, Quiet, show_rows, show_values
from app.errors import OperatorError

cli = typer.Typer(help="Videos on a server: who appears in them, and when.", no_args_is_help=True)

_POLL_S = 1.0
Video = Annotated[str, typer.Argument(help="The video's id.")]


@cli.command("add")
def add_video(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The video.")],
    album: Annotated[str, typer.Option(help="The album that it belongs to; created unless it exists.")] = "videos",
    people: Annotated[
        list[str] | None,
        typer.Option(help="A collection to look for people of, if the album is new; repeatable."),
    ] = None,
    external_id: Annotated[str | None, typer.Option(help="Your id for it; default: the file's name.")] = None,
    per_second: Annotated[float, typer.Option(min=0.01, max=10, help="Frames of a second to look at.")] = 2.0,
    keyframes: Annotated[bool, typer.Option("--keyframes", help="Only frames that are stored whole: faster.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until it is processed, and list who appears.")] = True,
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Send a video, wait until it is processed, and list who appears in it. Needs the scope register.

    Exits with 1 if the video fails. Repeated, it sends nothing twice.
    """
    fields = {
        "album": album,
        "external_id": external_id or file.name,
        "samples_per_second": str(per_second),
        "keyframes_only": str(keyframes).lower(),
    }
    with open_client(url, key) as client:
        create_unless_it_exists(client, {"id": album, "people": people or []})
        with file.open("rb") as content:
            video = client.send("POST", "/videos", data=fields, files={"video": (file.name, content)})
        if not wait:
            show_values(_describe(video), as_json, quiet)
            return
        video = _wait(client, video["video_id"])
        if video["state"] == "failed":
            raise OperatorError(f"{video['code']}: {video['detail']}")
        rows = _list_people(client, video["video_id"])
    show_rows(rows, as_json, quiet)


@cli.command("list")
def list_videos(
    album: Annotated[str | None, typer.Option(help="Only videos of this album.")] = None,
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List videos in the order of arrival. Needs the scope register, delete or admin."""
    with open_client(url, key) as client:
        rows = [_describe(video) for video in client.list_videos(album)]
    show_rows(rows, as_json, quiet)


@cli.command("people")
def list_people(video: Video, url: Url = LOCAL, key: Key = "", as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List who appears in a video, those seen most often first. Needs the scope register, delete or admin."""
    with open_client(url, key) as client:
        rows = _list_people(client, video)
    show_rows(rows, as_json, quiet)


@cli.command("delete")
def delete_video(
    video: Video,
    url: Url = LOCAL,
    key: Key = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a video with its faces. Needs the scope delete."""
    with open_client(url, key) as client:
        if not yes:
            typer.confirm(f"Erase video {video} with its faces?", abort=True)
        client.send("DELETE", f"/videos/{video}")


def _wait(client: AlbumClient, video_id: str) -> dict[str, Any]:
    while True:
        video = client.send("GET", f"/videos/{video_id}")
        if video["state"] in ("done", "failed"):
            return video
        time.sleep(_POLL_S)


def _describe(video: dict[str, Any]) -> dict[str, str]:
    return {
        "video_id": video["video_id"],
        "album": video["album"],
        "external_id": video["external_id"],
        "state": video["state"],
        "seconds": "" if video["duration_ms"] is None else f"{video['duration_ms'] / 1000:.1f}",
        "processed": f"{video['position_ms'] / 1000:.1f}",
        "people": "" if video["people"] is None else str(video["people"]),
        "code": video["code"] or "",
    }


def _list_people(client: AlbumClient, video_id: str) -> list[dict[str, str]]:
    people = client.send("GET", f"/videos/{video_id}/people")["people"]
    return [
        {
            "face_id": person["face_id"],
            "subject": person["subject"]["subject"] if person["subject"] else "",
            "state": person["state"] or "",
            "similarity": "" if person["similarity"] is None else f"{person['similarity']:.4f}",
            "seen": ", ".join(f"{_clock(one['begin_ms'])}-{_clock(one['end_ms'])}" for one in person["intervals"]),
            "best": _clock(person["best_ms"]),
        }
        for person in people
    ]


def _clock(milliseconds: int) -> str:
    seconds = milliseconds / 1000
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
