"""Read server-sent events line by line (WHATWG HTML, 9.2.6)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SentEvent:
    """One event: its name, its data, and its id if it has one."""

    name: str
    data: str
    id: str | None


class EventParser:
    """Takes the lines of a stream and returns each event when it is complete."""

    def __init__(self) -> None:
        self._name = ""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, line: str) -> SentEvent | None:
        """Take one line without its end; returns the event that it completes."""
        if not line:
            event = SentEvent(self._name or "message", "\n".join(self._data), self._id) if self._data else None
            self._name, self._data, self._id = "", [], None
            return event
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self._id = value
        return None
