"""Say who is whom in a whole video, and choose the faces that are stored of each person."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from app.domain.decisions import Calibration
from app.domain.people import FaceOrigin
from app.domain.videos import Appearance, Interval, SeenFace, TrackedFace
from app.matcher.clustering.threshold import pick_threshold
from app.matcher.tracking.tracklets import choose_diverse, rate
from app.matcher.tracking.tracks import Strand, join_intervals, join_strands
from app.persistence.repositories.templates import NewFace
from app.persistence.repositories.video_steps import VideoStep

FACES_A_PERSON = 3
_MAX_PEOPLE = 5_000
_MIN_FRAMES = 2
"""A face that was seen once and badly is more often none than somebody's."""


@dataclass(frozen=True, slots=True)
class SeenStrandFaces:
    """What a step saw of somebody, decrypted."""

    interval: Interval
    frames: int
    faces: Sequence[SeenFace] = field(repr=False)
    track: Sequence[TrackedFace] = ()
    """Every time at which somebody was seen; of jobs only."""


@dataclass(frozen=True, slots=True)
class SeenPerson:
    """Somebody in a video: the appearance, and the faces to store, the best first."""

    appearance: Appearance
    faces: list[NewFace] = field(repr=False)
    is_reliable: bool
    picture: bytes | None = field(default=None, repr=False)
    """A small JPEG of the best face, if pictures are kept."""


def join_people(
    step: VideoStep, strands: Sequence[SeenStrandFaces], recognizer: str, calibration: Calibration
) -> list[SeenPerson]:
    """Group what the steps of a video saw by person, those seen most often first."""
    groups = group_strands(strands, recognizer, calibration)
    people = [_describe(step, [strands[index] for index in group], recognizer) for group in groups]
    return sorted(people, key=lambda one: -one.appearance.frames)[:_MAX_PEOPLE]


def group_strands(strands: Sequence[SeenStrandFaces], recognizer: str, calibration: Calibration) -> list[list[int]]:
    """Return the indexes of the strands of each person; who was seen once and badly is in no group."""
    kept = [
        index
        for index, one in enumerate(strands)
        if one.frames >= _MIN_FRAMES or any(face.is_reliable for face in one.faces)
    ]
    compared = [_compare(strands[index], recognizer) for index in kept]
    groups = join_strands(compared, pick_threshold(calibration, len(compared)))
    return [[kept[index] for index in group] for group in groups]


def find_overlapping(people: Sequence[SeenPerson]) -> list[tuple[UUID, UUID]]:
    """Return pairs of people, by their best faces, who are seen at the same time: they are two, however alike."""
    pairs = []
    for place, one in enumerate(people):
        for other in people[place + 1 :]:
            if _overlap(one.appearance.intervals, other.appearance.intervals):
                pairs.append((one.appearance.face_ids[0], other.appearance.face_ids[0]))
    return pairs


def _overlap(intervals: Sequence[Interval], others: Sequence[Interval]) -> bool:
    return any(one.begin_ms <= other.end_ms and other.begin_ms <= one.end_ms for one in intervals for other in others)


def _compare(strand: SeenStrandFaces, recognizer: str) -> Strand:
    reliable = [face for face in strand.faces if face.is_reliable]
    embeddings = [face.embeddings[recognizer] for face in reliable or strand.faces]
    return Strand(strand.interval, embeddings, bool(reliable))


def _describe(step: VideoStep, strands: Sequence[SeenStrandFaces], recognizer: str) -> SeenPerson:
    faces = choose_diverse([face for one in strands for face in one.faces], recognizer, FACES_A_PERSON)
    faces = sorted(faces, key=rate, reverse=True)
    subject_id = uuid4()
    new = [
        NewFace(
            subject_id,
            face.embeddings,
            face.detection_score,
            face.quality,
            FaceOrigin(step.video_id, face.box, step.external_id),
        )
        for face in faces
    ]
    appearance = Appearance(
        uuid4(),
        step.video_id,
        tuple(face.id for face in new),
        join_intervals([one.interval for one in strands]),
        faces[0].at_ms,
        faces[0].box,
        sum(one.frames for one in strands),
    )
    return SeenPerson(appearance, new, faces[0].is_reliable, faces[0].picture)
