"""Propose how to split one cluster: average linkage among its faces, with must-links and cannot-links."""

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.matcher.clustering.constraints import Constraints
from app.matcher.clustering.records import ConstraintConflict, UnknownFace

MAX_FACES = 5_000
"""Splitting needs 4 bytes per pair of reliable faces: 100 MB at the limit."""
_NEVER = -2.0
"""Below every cosine: the linkage of groups that must stay apart."""
_MIN_GROUPS = 2


def split_faces(faces: Sequence[UnknownFace], constraints: Constraints, threshold: float | None) -> list[list[UUID]]:
    """Return groups of face ids, largest first; two groups (more where cannot-links demand it) without a threshold.

    Unreliable faces do not link: each goes to the group with the highest mean cosine that may hold it. Raise
    `ValueError` for more than `MAX_FACES` reliable faces.
    """
    reliable = [face for face in faces if face.is_reliable]
    if len(reliable) > MAX_FACES:
        raise ValueError(f"{len(reliable)} reliable faces cannot be split; the limit is {MAX_FACES}")
    groups = _start_groups(reliable, constraints)
    groups = _Agglomeration(groups, constraints).run(threshold)
    for face in faces:
        if not face.is_reliable:
            _place_unreliable(groups, face, constraints)
    return sorted(([face.id for face in group] for group in groups), key=len, reverse=True)


def find_separators(groups: Sequence[set[UUID]], constraints: Constraints) -> tuple[tuple[UUID, UUID], ...]:
    """Return a pair of faces for every two groups; raise `ConstraintConflict` if must-links join two groups."""
    for index, group in enumerate(groups):
        beyond = set().union(*groups[:index], *groups[index + 1 :])
        joined = tuple((face, other) for face in group for other in constraints.find_required(face) & beyond)
        if joined:
            raise ConstraintConflict("must-links join two groups", pairs=joined)
    chosen = [min(group) for group in groups]
    return tuple((first, second) for at, first in enumerate(chosen) for second in chosen[at + 1 :])


def _start_groups(faces: Sequence[UnknownFace], constraints: Constraints) -> list[list[UnknownFace]]:
    """Return one group per face, or per set of faces that must-links join."""
    groups: list[list[UnknownFace]] = []
    by_face: dict[UUID, list[UnknownFace]] = {}
    for face in faces:
        group = by_face.get(face.id)
        if group is None:
            groups.append(group := [])
            by_face.update(dict.fromkeys(constraints.find_required(face.id), group))
        group.append(face)
    return groups


class _Agglomeration:
    """Merges the two groups with the highest linkage; keeps each row's best partner, so that a merge costs O(n)."""

    def __init__(self, groups: list[list[UnknownFace]], constraints: Constraints) -> None:
        self._groups: list[list[UnknownFace] | None] = [*groups]
        sums = np.stack([np.sum([face.embedding for face in group], axis=0) for group in groups]) if groups else None
        self._counts = np.array([len(group) for group in groups], np.float32)
        self._linkages: NDArray[np.float32] = (
            np.zeros((0, 0), np.float32)
            if sums is None
            else (means := (sums / self._counts[:, None]).astype(np.float32)) @ means.T
        )
        self._forbid(groups, constraints)
        self._best = self._linkages.max(axis=1, initial=_NEVER)

    def _forbid(self, groups: list[list[UnknownFace]], constraints: Constraints) -> None:
        np.fill_diagonal(self._linkages, _NEVER)
        places = {face.id: index for index, group in enumerate(groups) for face in group}
        for face, index in places.items():
            for other in constraints.get_forbidden(face):
                if other in places:
                    self._linkages[index, places[other]] = self._linkages[places[other], index] = _NEVER

    def run(self, threshold: float | None) -> list[list[UnknownFace]]:
        """Merge down to the threshold, or to two groups without one."""
        left = len(self._groups)
        while left > (1 if threshold is not None else _MIN_GROUPS):
            first = int(np.argmax(self._best))
            if self._best[first] < (_NEVER + 1e-3 if threshold is None else threshold):
                break
            self._merge(first, int(np.argmax(self._linkages[first])))
            left -= 1
        return [group for group in self._groups if group is not None]

    def _merge(self, first: int, second: int) -> None:
        kept, gone = self._groups[first], self._groups[second]
        assert kept is not None  # rows of merged groups are never the best
        assert gone is not None
        self._groups[first], self._groups[second] = kept + gone, None
        old = self._linkages[[first, second]]
        weights = self._counts[[first, second]] / self._counts[[first, second]].sum()
        union = np.where((old <= _NEVER).any(axis=0), _NEVER, weights @ old)
        union[[first, second]] = _NEVER
        self._counts[first] += self._counts[second]
        stale = np.flatnonzero((self._best == old[0]) | (self._best == old[1]))
        for index, values in ((first, union), (second, np.full_like(union, _NEVER))):
            self._linkages[index], self._linkages[:, index] = values, values
        self._best = np.maximum(self._best, union)
        rows = np.append(stale, [first, second])
        self._best[rows] = self._linkages[rows].max(axis=1)


def _place_unreliable(groups: list[list[UnknownFace]], face: UnknownFace, constraints: Constraints) -> None:
    """Add an unreliable face to the group that must-links demand, or else to the nearest that may hold it."""
    required, forbidden = constraints.find_required(face.id), set(constraints.get_forbidden(face.id))

    def rate(group: list[UnknownFace]) -> tuple[bool, float]:
        cosines = [float(one.embedding @ face.embedding) for one in group if one.is_reliable]
        return any(one.id in required for one in group), float(np.mean(cosines)) if cosines else _NEVER

    allowed = [group for group in groups if not any(one.id in forbidden for one in group)]
    if allowed:
        max(allowed, key=rate).append(face)
    else:
        groups.append([face])
