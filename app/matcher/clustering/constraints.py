"""What people said about pairs of faces: these two show one person, or two different people."""

from collections.abc import Iterable
from uuid import UUID

from app.matcher.clustering.records import ConstraintConflict


class Constraints:
    """Cannot-links and must-links between faces, by face. A face may have constraints before it has a cluster."""

    def __init__(self) -> None:
        self._forbidden: dict[UUID, set[UUID]] = {}
        self._required: dict[UUID, set[UUID]] = {}

    def forbid(self, first: UUID, second: UUID) -> None:
        """Keep two faces apart. Raise `ConstraintConflict` if must-links join them."""
        if first != second and second in self.find_required(first):
            raise ConstraintConflict("must-links join these faces", pairs=((first, second),))
        _link(self._forbidden, first, second)

    def require(self, first: UUID, second: UUID) -> None:
        """Keep two faces together. Raise `ConstraintConflict` if a cannot-link separates what this would join."""
        pairs = self.find_forbidden_pairs(self.find_required(first), self.find_required(second))
        if pairs:
            raise ConstraintConflict("cannot-links separate these faces", pairs=pairs)
        _link(self._required, first, second)

    def release(self, first: UUID, second: UUID) -> None:
        """Drop what was said about two faces, if anything."""
        for links in (self._forbidden, self._required):
            _unlink(links, first, second)
            _unlink(links, second, first)

    def forget(self, face: UUID) -> None:
        """Drop what was said about a face."""
        for links in (self._forbidden, self._required):
            for other in links.pop(face, ()):
                _unlink(links, other, face)

    def get_forbidden(self, face: UUID) -> Iterable[UUID]:
        """Return the faces that must be in other clusters than this one."""
        return self._forbidden.get(face, ())

    def has_required(self, face: UUID) -> bool:
        """Return whether a face must be with another one."""
        return face in self._required

    def find_required(self, face: UUID) -> set[UUID]:
        """Return the face and all faces that must be with it, through others as well."""
        found, waiting = {face}, [face]
        while waiting:
            new = self._required.get(waiting.pop(), set()) - found
            found |= new
            waiting.extend(new)
        return found

    def find_forbidden_pairs(self, first: set[UUID], second: set[UUID]) -> tuple[tuple[UUID, UUID], ...]:
        """Return the cannot-links between two sets of faces, as pairs (face of the first, face of the second)."""
        return tuple((face, other) for face in first for other in self._forbidden.get(face, ()) if other in second)


def _link(links: dict[UUID, set[UUID]], first: UUID, second: UUID) -> None:
    if first == second:
        raise ValueError("a constraint needs two different faces")
    links.setdefault(first, set()).add(second)
    links.setdefault(second, set()).add(first)


def _unlink(links: dict[UUID, set[UUID]], face: UUID, other: UUID) -> None:
    others = links.get(face, set())
    others.discard(other)
    if not others:
        links.pop(face, None)
