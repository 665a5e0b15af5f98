"""Write who appears when as WebVTT, so that a player shows names (https://www.w3.org/TR/webvtt1/)."""

from collections.abc import Sequence

from app.domain.sightings import SightingState
from app.services.videos.videos import AppearingPerson

_MIN_CUE_MS = 500
"""A cue needs a length; somebody may be seen in one frame only."""


def write_webvtt(people: Sequence[AppearingPerson]) -> str:
    """Return a cue for each interval, in the order of time. Unknown people are numbered."""
    cues = []
    for number, person in enumerate(people, 1):
        for interval in person.appearance.intervals:
            end_ms = max(interval.end_ms, interval.begin_ms + _MIN_CUE_MS)
            cues.append((interval.begin_ms, end_ms, _name(person, number)))
    lines = ["WEBVTT", ""]
    for begin_ms, end_ms, name in sorted(cues):
        lines += [f"{_time(begin_ms)} --> {_time(end_ms)}", name, ""]
    return "\n".join(lines)


def _name(person: AppearingPerson, number: int) -> str:
    sighting = person.sighting
    if sighting is None or sighting.subject is None or sighting.state is not SightingState.MATCHED:
        return f"Person {number}"
    name = sighting.subject.name or sighting.subject.subject
    return name.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ").replace("-->", "--&gt;")


def _time(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{rest:03}"
