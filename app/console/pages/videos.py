"""Show videos: list and send them; one with the times at which people appear."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.console.pages.albums import list_albums
from app.console.pages_of import PagesDep
from app.console.texts import translate
from app.console.viewer import ViewerDep
from app.domain.sightings import SightingState
from app.domain.videos import Interval, VideoState
from app.services.paging import PageRequest
from app.services.videos.videos import AppearingPerson
from app.wiring.videos import has_video_support

router = APIRouter(prefix="/videos", include_in_schema=False)

_VIDEOS = 30
_WIDTH = 1000
"""The width of a timeline in units of its drawing."""
_NARROWEST = 6
"""So that a person who appears for a moment can be seen, and pointed at."""


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval in a timeline, with its place in the drawing."""

    interval: Interval
    x: int
    width: int


@dataclass(frozen=True, slots=True)
class Row:
    """Somebody in a timeline: the name or a number, and the bars."""

    title: str
    person: AppearingPerson
    bars: Sequence[Bar]


def draw_rows(people: Sequence[AppearingPerson], duration_ms: int) -> list[Row]:
    """Return a row for each person; unknown people are numbered as in the subtitles."""
    return [
        Row(_name(one, number), one, [_draw(interval, duration_ms) for interval in one.appearance.intervals])
        for number, one in enumerate(people, 1)
    ]


def _name(person: AppearingPerson, number: int) -> str:
    sighting = person.sighting
    if sighting is None or sighting.subject is None or sighting.state is not SightingState.MATCHED:
        return translate("video.unknown", number=number)
    return sighting.subject.name or sighting.subject.subject


def _draw(interval: Interval, duration_ms: int) -> Bar:
    def at(ms: int) -> int:
        return round(_WIDTH * min(ms, duration_ms) / max(1, duration_ms))

    width = max(_NARROWEST, at(interval.end_ms) - at(interval.begin_ms))
    return Bar(interval, min(at(interval.begin_ms), _WIDTH - width), width)


@router.get("")
async def show_videos(
    pages: PagesDep,
    viewer: ViewerDep,
    album: Annotated[str, Query(max_length=255)] = "",
    cursor: Annotated[str, Query(max_length=2048)] = "",
) -> Response:
    async with viewer.caller.transaction() as services:
        videos = await services.videos().list(album or None, PageRequest(_VIDEOS, cursor or None))
    waits = any(one.state in (VideoState.RECEIVED, VideoState.WORKING) for one in videos.items)
    return pages.render(
        "videos.html",
        viewer,
        videos=videos,
        album=album,
        cursor=cursor,
        waits=waits,
        albums=[one.album for one in await list_albums(viewer)],
        can_process=has_video_support(),
    )


@router.get("/{video_id}")
async def show_video(pages: PagesDep, viewer: ViewerDep, video_id: UUID) -> Response:
    async with viewer.caller.transaction() as services:
        video = await services.videos().get(video_id)
        people = await services.videos().people(video_id)
    duration = video.facts.duration_ms if video.facts else 0
    waits = video.state in (VideoState.RECEIVED, VideoState.WORKING)
    return pages.render("video.html", viewer, one=video, waits=waits, rows=draw_rows(people, duration))
