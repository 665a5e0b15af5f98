"""Registering, recognizing, verifying and comparing."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field

from app.domain.decisions import Decision
from app.domain.faces import Detail
from app.errors import AppError, InvalidMetadata
from app.matcher.thresholds import DecidedCandidate, Thresholds
from app.schemas.faces import FaceOut, ImageOut, ImageProblemOut, describe_face
from app.schemas.fields import (
    CandidateLimit,
    CollectionName,
    ConsentReference,
    DetailField,
    DisplayName,
    Expiry,
    Label,
    SubjectId,
    Threshold,
    parse_metadata,
)
from app.services.people.registration import AcceptedImage, RefusedImage, Registration
from app.services.photos.face_reader import FaceChoice
from app.services.recognition.recognition import BatchRecognition, Comparison, Recognition, Verification

DEFAULT_CANDIDATES = 5


def _metadata_from_text(value: object) -> object:
    """A form carries JSON as text; what is wrong with it gets a code of its own."""
    if not isinstance(value, str):
        return value
    try:
        return parse_metadata(value)
    except ValueError as exc:
        raise InvalidMetadata(f"metadata {exc}.", field="metadata") from None


class RegisterForm(BaseModel):
    """The text fields of `POST /register`."""

    subject: SubjectId
    name: DisplayName | None = None
    metadata: Annotated[dict[str, Any] | None, BeforeValidator(_metadata_from_text)] = Field(
        default=None,
        description="A JSON object as text.",
        json_schema_extra={"type": "string", "example": '{"team": 7}'},
    )
    collection: CollectionName = "default"
    face: FaceChoice = Field(default=FaceChoice.ONLY, description="`largest`: take the largest of several faces.")
    consent: ConsentReference | None = None
    expires_at: Expiry | None = None


class RecognizeForm(BaseModel):
    """The text fields of `POST /recognize`."""

    collection: CollectionName = "default"
    limit: CandidateLimit = DEFAULT_CANDIDATES
    threshold: Threshold | None = None
    detail: DetailField = Detail.STANDARD


class VerifyForm(BaseModel):
    """The text fields of `POST /verify`."""

    subject: SubjectId
    collection: CollectionName = "default"
    threshold: Threshold | None = None
    face: FaceChoice = Field(default=FaceChoice.ONLY, description="`largest`: take the largest of several faces.")


class CompareForm(BaseModel):
    """The text fields of `POST /compare`."""

    threshold: Threshold | None = None


class LookForm(BaseModel):
    """The text fields of `POST /detect`."""

    detail: DetailField = Detail.STANDARD


class ExtractForm(LookForm):
    """The text fields of `POST /extract`."""

    recognizer: Label | None = Field(default=None, description="Whose embeddings; by default the server's first.")


class AcceptedImageOut(BaseModel):
    """One image whose face was stored."""

    image: int = Field(description="Place among the request's images, from 0.")
    face_id: UUID = Field(description="The stored face's id.")
    face: FaceOut

    @classmethod
    def of(cls, accepted: AcceptedImage) -> "AcceptedImageOut":
        """From the service's result."""
        return cls(image=accepted.index, face_id=accepted.template.id, face=FaceOut.of(accepted.face))


class RefusedImageOut(BaseModel):
    """One image that was not used."""

    image: int = Field(description="Place among the request's images, from 0.")
    code: str = Field(examples=["several_faces"])
    detail: str

    @classmethod
    def of(cls, refused: RefusedImage) -> "RefusedImageOut":
        """From the service's result."""
        return cls(image=refused.index, code=refused.error.code, detail=refused.error.detail)


class RegisterOut(BaseModel):
    """What was stored, and what was not and why."""

    collection: str
    subject: str
    recognizer: str
    templates: list[AcceptedImageOut]
    refused: list[RefusedImageOut]

    @classmethod
    def of(cls, form: RegisterForm, registration: Registration) -> "RegisterOut":
        """From the service's result."""
        return cls(
            collection=form.collection,
            subject=form.subject,
            recognizer=registration.recognizer,
            templates=[AcceptedImageOut.of(item) for item in registration.accepted],
            refused=[RefusedImageOut.of(item) for item in registration.refused],
        )


class DecidedOut(BaseModel):
    """What every answer with decisions says of them."""

    threshold: float = Field(description="A similarity at or above it is a `match`: yours, or the collection's.")
    review_threshold: float = Field(description="At or above it, and no match: `review`.")
    false_match_rate: float = Field(
        description="How often a search of a stranger ends in a match: 1 - (1 - f)^N, f the rate of one comparison."
    )
    comparisons: int = Field(
        description="N: the collection's templates; of a claim the subject's; of a comparison the target's faces."
    )
    calibration: str = Field(description="Where f is from, and below which rate it is extrapolated.")


def describe_thresholds(used: Thresholds) -> dict[str, Any]:
    """The members of `DecidedOut`."""
    return {
        "threshold": round(used.match, 4),
        "review_threshold": round(used.review, 4),
        "false_match_rate": short_rate(used.false_match_rate),
        "comparisons": used.comparisons,
        "calibration": used.calibration.account,
    }


def short_rate(rate: float) -> float:
    """An error rate to three digits: more of them would be pretence."""
    return float(f"{rate:.3g}")


class CandidateOut(BaseModel):
    """A subject that the face may show."""

    subject: str
    name: str | None
    similarity: float = Field(description="Cosine with the most similar of the subject's templates, -1 to 1; ranks.")
    subject_similarity: float = Field(
        description="Cosine with what the subject's templates have in common, -1 to 1; one bad photo cannot raise it."
    )
    decision: Decision = Field(description="`match` where both similarities reach the threshold.")
    false_match_rate: float = Field(description="How often a search of a stranger finds somebody at least so similar.")

    @classmethod
    def of(cls, decided: DecidedCandidate) -> "CandidateOut":
        """From the service's result."""
        candidate = decided.candidate
        return cls(
            subject=candidate.subject,
            name=candidate.name,
            similarity=round(candidate.similarity, 4),
            subject_similarity=round(candidate.subject_similarity, 4),
            decision=decided.decision,
            false_match_rate=short_rate(decided.false_match_rate),
        )


class RecognizedFaceOut(FaceOut):
    """One face with its candidates, most similar first."""

    candidates: list[CandidateOut]


class RecognizeOut(DecidedOut):
    """Every face of the image, largest first."""

    image: ImageOut
    collection: str
    recognizer: str
    faces: list[RecognizedFaceOut]

    @classmethod
    def of(cls, collection: str, recognition: Recognition) -> "RecognizeOut":
        """From the service's result."""
        faces = [
            RecognizedFaceOut(
                **describe_face(found.face),
                candidates=[CandidateOut.of(decided) for decided in found.candidates],
            )
            for found in recognition.faces
        ]
        return cls(
            image=ImageOut(width=recognition.width, height=recognition.height),
            collection=collection,
            recognizer=recognition.recognizer,
            faces=faces,
            **describe_thresholds(recognition.thresholds),
        )


class RecognizedImageOut(BaseModel):
    """One of several images: its faces, or why it could not be used."""

    index: int = Field(description="Place among the request's images, from 0.")
    image: ImageOut | None = None
    faces: list[RecognizedFaceOut] = []
    error: ImageProblemOut | None = None


class RecognizeBatchOut(DecidedOut):
    """What was found in each image."""

    collection: str
    recognizer: str
    images: list[RecognizedImageOut]

    @classmethod
    def of(cls, collection: str, batch: BatchRecognition) -> "RecognizeBatchOut":
        """From the service's result."""
        images = []
        for index, found in enumerate(batch.images):
            if isinstance(found, AppError):
                images.append(RecognizedImageOut(index=index, error=ImageProblemOut.of(found)))
            else:
                one = RecognizeOut.of(collection, found)
                images.append(RecognizedImageOut(index=index, image=one.image, faces=one.faces))
        return cls(
            collection=collection, recognizer=batch.recognizer, images=images, **describe_thresholds(batch.thresholds)
        )


class VerifyOut(DecidedOut):
    """Whether the face is the claimed subject's."""

    subject: str
    recognizer: str
    similarity: float
    similarity_false_match_rate: float = Field(
        description="How often a stranger's photo would be at least so similar to one of the subject's faces."
    )
    subject_similarity: float
    decision: Decision
    face: FaceOut

    @classmethod
    def of(cls, subject: str, verification: Verification) -> "VerifyOut":
        """From the service's result."""
        decided = verification.decided
        return cls(
            subject=subject,
            recognizer=verification.recognizer,
            similarity=round(decided.candidate.similarity, 4),
            similarity_false_match_rate=short_rate(decided.false_match_rate),
            subject_similarity=round(decided.candidate.subject_similarity, 4),
            decision=decided.decision,
            face=FaceOut.of(verification.face),
            **describe_thresholds(verification.thresholds),
        )


class ComparedFaceOut(FaceOut):
    """One face of the target image against the source's."""

    similarity: float
    decision: Decision
    false_match_rate: float


class CompareOut(DecidedOut):
    """The source's largest face against every face of the target, most similar first."""

    recognizer: str
    source: FaceOut
    targets: list[ComparedFaceOut]

    @classmethod
    def of(cls, comparison: Comparison) -> "CompareOut":
        """From the service's result."""
        targets = [
            ComparedFaceOut(
                **describe_face(target.face),
                similarity=round(target.similarity, 4),
                decision=target.decision,
                false_match_rate=short_rate(target.false_match_rate),
            )
            for target in comparison.targets
        ]
        return cls(
            recognizer=comparison.recognizer,
            source=FaceOut.of(comparison.source),
            targets=targets,
            **describe_thresholds(comparison.thresholds),
        )
