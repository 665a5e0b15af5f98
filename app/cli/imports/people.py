"""What an import brings: people, their photos, and what cannot be brought."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.errors import InvalidParameter
from app.schemas.subject_names import display_name, to_subject_id


class PhotoMissing(Exception):
    """The source has no photo, or none that can be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Person:
    """A subject, by the id that it gets and the name that it had if that differs."""

    subject: str
    name: str | None = None
    consent: str | None = None

    @classmethod
    def named(cls, name: str, *, consent: str | None = None) -> "Person":
        """Return the person with this name elsewhere; raises `InvalidParameter` if no id can stand for it."""
        subject = to_subject_id(name)
        return cls(subject, display_name(name, subject), consent)


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo of a person. `source_id` tells it from every other one of the source, in the ledger and the report."""

    source_id: str
    person: Person
    load: Callable[[], bytes] = field(repr=False)
    """Reads the photo; raises `PhotoMissing`."""
    external_image_id: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What was not brought: a photo or a person, a stable reason, and what to know about it."""

    what: str
    reason: str
    detail: str


@dataclass(slots=True)
class Catalog:
    """What a source has: photos, and people without any."""

    photos: list[Photo] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def person(self, name: str, *, consent: str | None = None) -> Person | None:
        """Return the person with this name; None if no id can stand for it, which is noted."""
        try:
            return Person.named(name, consent=consent)
        except InvalidParameter as exc:
            noted = LeftOut(name, "name_not_possible", exc.detail)
            if noted not in self.left_out:
                self.left_out.append(noted)
            return None


@dataclass(frozen=True, slots=True)
class SubjectSource:
    """A subject of another Vultus; `load` returns its exported document, and raises `PhotoMissing`."""

    name: str
    load: Callable[[], dict[str, Any]] = field(repr=False)
