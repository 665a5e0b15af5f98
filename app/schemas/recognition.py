"""Define the forms and responses of the routes that take photos, except `POST /register/all`."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field

from app.domain.decisions import Decision, DecisionLimit
from app.domain.faces import Detail
from app.errors import InvalidMetadata
from app.matcher.thresholds import DecidedCandidate, Thresholds
from app.schemas.answer_fields import RECOGNIZER
from app.schemas.faces import FACES_LEFT_OUT, FaceOut, ImageOut, describe_face
from app.schemas.fields import (
    METADATA_SCHEMA,
    CandidateLimit,
    CollectionName,
    ConsentReference,
    DetailField,
    DisplayName,
    Expiry,
    ExternalImageId,
    Label,
    SubjectId,
    Threshold,
    check_metadata,
    parse_metadata,
)
from app.schemas.origins import MatchOut, OriginOut, describe_match, describe_origin
from app.schemas.request_body import RequestBody
from app.services.people.registration import AcceptedImage, RefusedImage, Registration
from app.services.photos.face_reader import FaceChoice
from app.services.recognition.recognition import Comparison, Recognition, Verification

DEFAULT_CANDIDATES = 5
_FACE_CHOICE = "`only`: refuse a photo that shows several faces. `largest`: use the largest face."
_INDEX = "Position among the request's images, from 0."
_SIMILARITY = "Cosine similarity to the subject's most similar template, -1 to 1. Candidates are sorted by it."
_LIMITS = (
    "Why the decision is `review` at most: a quality score is too low, that of the searched face (`probe_quality`) or "
    "of the other one (`template_quality`)."
)
_SUBJECT_SIMILARITY = (
    "Cosine similarity to the combined templates of the subject, -1 to 1. A single bad template cannot raise it."
)

_CALIBRATION = (
    "scaled to a published figure (F1 99.85% on LFW at 0.2469), not measured; rates below 1e-05 are extrapolated"
)


def _metadata_from_text(value: object) -> object:
    """Parse the JSON text of a form field, or check the object of a JSON body; raises `InvalidMetadata`."""
    try:
        if isinstance(value, dict):
            return check_metadata(value)
        return parse_metadata(value) if isinstance(value, str) else value
    except ValueError as exc:
        raise InvalidMetadata(f"metadata {exc}.", field="metadata") from None


class RegisterForm(RequestBody):
    """The text fields of `POST /register`."""

    subject: SubjectId
    name: DisplayName | None = Field(default=None, description="The person's name, shown in search results.")
    metadata: Annotated[dict[str, Any] | None, BeforeValidator(_metadata_from_text)] = Field(
        default=None,
        description="Any JSON object of at most 16 KiB, nested at most 8 deep.",
        json_schema_extra={"type": "object", "example": {"team": 7}, **METADATA_SCHEMA},
    )
    collection: CollectionName = "default"
    face: FaceChoice = Field(default=FaceChoice.ONLY, description=_FACE_CHOICE)
    consent: ConsentReference | None = None
    expires_at: Expiry | None = None
    external_image_id: ExternalImageId | None = Field(
        default=None,
        description="Your id for the photo; send one photo with it. A photo that the subject has already keeps the id "
        "that it has, if any.",
    )


class RecognizeForm(RequestBody):
    """The text fields of `POST /recognize` and `POST /recognize/batch`."""

    collection: CollectionName = "default"
    limit: CandidateLimit = DEFAULT_CANDIDATES
    threshold: Threshold | None = None
    detail: DetailField = Detail.STANDARD


class VerifyForm(RequestBody):
    """The text fields of `POST /verify`."""

    subject: SubjectId
    collection: CollectionName = "default"
    threshold: Threshold | None = None
    face: FaceChoice = Field(default=FaceChoice.ONLY, description=_FACE_CHOICE)


class CompareForm(RequestBody):
    """The text fields of `POST /compare` and `POST /compare/batch`."""

    threshold: Threshold | None = None


class DetectForm(RequestBody):
    """The text fields of `POST /detect`."""

    detail: DetailField = Detail.STANDARD


class ExtractForm(DetectForm):
    """The text fields of `POST /extract` and `POST /extract/batch`."""

    recognizer: Label | None = Field(
        default=None, description="The recognizer to embed the faces with. Default: the server's default recognizer."
    )


class AcceptedImageOut(OriginOut):
    """An image whose face was stored."""

    index: int = Field(description=_INDEX, examples=[0])
    face_id: UUID = Field(description="The id of the stored face.", examples=["aa6b4d99-8305-48a8-8ad1-e5994b7e7bee"])
    was_stored: bool = Field(
        description="Whether the subject had this photo before; it is not stored twice.", examples=[False]
    )
    face: FaceOut

    @classmethod
    def of(cls, accepted: AcceptedImage) -> "AcceptedImageOut":
        return cls(
            index=accepted.index,
            face_id=accepted.face_id,
            was_stored=accepted.was_stored,
            **describe_origin(accepted.origin),
            face=FaceOut.of(accepted.face),
        )


class RefusedImageOut(BaseModel):
    """An image that was refused."""

    index: int = Field(description=_INDEX, examples=[0])
    code: str = Field(description="A stable error code.", examples=["several_faces"])
    detail: str = Field(examples=["The image shows 3 faces; send an image of one person, or set face=largest."])

    @classmethod
    def of(cls, refused: RefusedImage) -> "RefusedImageOut":
        return cls(index=refused.index, code=refused.error.code, detail=refused.error.detail)


class RegisterOut(BaseModel):
    """The stored faces, and the images that were refused."""

    collection: str = Field(examples=["default"])
    subject: str = Field(examples=["emp-1042"])
    recognizer: str = Field(description="The recognizer that searches of the collection use.", examples=[RECOGNIZER])
    templates: list[AcceptedImageOut]
    refused: list[RefusedImageOut] = Field(examples=[[]])

    @classmethod
    def of(cls, form: RegisterForm, registration: Registration) -> "RegisterOut":
        return cls(
            collection=form.collection,
            subject=form.subject,
            recognizer=registration.recognizer,
            templates=[AcceptedImageOut.of(item) for item in registration.accepted],
            refused=[RefusedImageOut.of(item) for item in registration.refused],
        )


class DecisionBasisOut(BaseModel):
    """The basis of a response's decisions: thresholds, error rate and calibration."""

    threshold: float = Field(
        description="Similarities at or above it are a `match`. It is the request's threshold, or the collection's.",
        examples=[0.4943],
    )
    review_threshold: float = Field(
        description="Similarities at or above it, but below `threshold`, are a `review`.", examples=[0.3897]
    )
    false_match_rate: float = Field(
        description="How often a search for a person who is not in the gallery ends in a `match`: 1 - (1 - f)^N, "
        "where f is the false-match rate of one comparison and N is `comparisons`.",
        examples=[0.001],
    )
    comparisons: int = Field(
        description="The number of comparisons: all templates of the collection in a search, the subject's templates "
        "in a verification, the target's faces in a comparison of two photos.",
        examples=[2500],
    )
    calibration: str = Field(
        description="Where the error rates come from, and the rate below which they are extrapolated.",
        examples=[_CALIBRATION],
    )


def describe_thresholds(used: Thresholds) -> dict[str, Any]:
    """Return the fields of `DecisionBasisOut`."""
    return {
        "threshold": round(used.match, 4),
        "review_threshold": round(used.review, 4),
        "false_match_rate": round_rate(used.false_match_rate),
        "comparisons": used.comparisons,
        "calibration": used.calibration.description,
    }


def round_rate(rate: float) -> float:
    """Round an error rate to three significant digits, which is more than its precision."""
    return float(f"{rate:.3g}")


def _round_known_rate(rate: float | None) -> float | None:
    return None if rate is None else round_rate(rate)


class CandidateOut(MatchOut):
    """A subject whom the face may show, and the stored face that is most similar to it."""

    subject: str = Field(examples=["emp-1042"])
    name: str | None = Field(examples=["Ada Acker"])
    similarity: float = Field(description=_SIMILARITY, examples=[0.7312])
    subject_similarity: float = Field(description=_SUBJECT_SIMILARITY, examples=[0.7105])
    decision: Decision = Field(
        description="`match` if both similarities reach the threshold.", examples=[Decision.MATCH]
    )
    decision_limits: list[DecisionLimit] = Field(description=_LIMITS, examples=[[]])
    false_match_rate: float | None = Field(
        description="How often a search for a person who is not in the collection returns a candidate at least this "
        "similar. Null if `decision_limits` is not empty.",
        examples=[2.5e-05],
    )

    @classmethod
    def of(cls, decided: DecidedCandidate) -> "CandidateOut":
        candidate = decided.candidate
        return cls(
            subject=candidate.subject,
            name=candidate.name,
            **describe_match(candidate.face),
            similarity=round(candidate.similarity, 4),
            subject_similarity=round(candidate.subject_similarity, 4),
            decision=decided.decision,
            decision_limits=list(decided.limits),
            false_match_rate=_round_known_rate(decided.false_match_rate),
        )


class RecognizedFaceOut(FaceOut):
    """A face and its candidates, most similar first."""

    candidates: list[CandidateOut]


class RecognizeOut(DecisionBasisOut):
    """All faces in the image, largest first, with their candidates. `faces` is empty if there are none."""

    image: ImageOut
    collection: str = Field(examples=["default"])
    recognizer: str = Field(description="The recognizer that was used.", examples=[RECOGNIZER])
    faces: list[RecognizedFaceOut]
    faces_left_out: int = Field(description=FACES_LEFT_OUT, examples=[0])

    @classmethod
    def of(cls, collection: str, recognition: Recognition) -> "RecognizeOut":
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
            faces_left_out=recognition.left_out,
            **describe_thresholds(recognition.thresholds),
        )


class VerifyOut(MatchOut, DecisionBasisOut):
    """Whether the face shows the claimed subject, and the subject's stored face that is most similar to it."""

    subject: str = Field(examples=["emp-1042"])
    recognizer: str = Field(description="The recognizer that was used.", examples=[RECOGNIZER])
    similarity: float = Field(
        description="Cosine similarity to the subject's most similar template, -1 to 1.", examples=[0.7312]
    )
    similarity_false_match_rate: float | None = Field(
        description="How often another person's photo would be at least this similar to one of the subject's "
        "templates. Null if `decision_limits` is not empty.",
        examples=[2.5e-05],
    )
    subject_similarity: float = Field(description=_SUBJECT_SIMILARITY, examples=[0.7105])
    decision: Decision = Field(
        description="`match` if both similarities reach the threshold.", examples=[Decision.MATCH]
    )
    decision_limits: list[DecisionLimit] = Field(description=_LIMITS, examples=[[]])
    face: FaceOut

    @classmethod
    def of(cls, subject: str, verification: Verification) -> "VerifyOut":
        decided = verification.decided
        return cls(
            subject=subject,
            recognizer=verification.recognizer,
            **describe_match(decided.candidate.face),
            similarity=round(decided.candidate.similarity, 4),
            similarity_false_match_rate=_round_known_rate(decided.false_match_rate),
            subject_similarity=round(decided.candidate.subject_similarity, 4),
            decision=decided.decision,
            decision_limits=list(decided.limits),
            face=FaceOut.of(verification.face),
            **describe_thresholds(verification.thresholds),
        )


class ComparedFaceOut(FaceOut):
    """A face in the target image, compared with the source face."""

    similarity: float = Field(description="Cosine similarity to the source face, -1 to 1.", examples=[0.7312])
    decision: Decision = Field(examples=[Decision.MATCH])
    decision_limits: list[DecisionLimit] = Field(description=_LIMITS, examples=[[]])
    false_match_rate: float | None = Field(
        description="How often a face at least this similar would be found if the source person were not in the "
        "target. Null if `decision_limits` is not empty.",
        examples=[2.5e-05],
    )


class CompareOut(DecisionBasisOut):
    """The largest face in the source image, compared with every face in the target, most similar first."""

    recognizer: str = Field(description="The recognizer that was used.", examples=[RECOGNIZER])
    source: FaceOut
    targets: list[ComparedFaceOut]
    faces_left_out: int = Field(description=FACES_LEFT_OUT, examples=[0])

    @classmethod
    def of(cls, comparison: Comparison) -> "CompareOut":
        targets = [
            ComparedFaceOut(
                **describe_face(target.face),
                similarity=round(target.similarity, 4),
                decision=target.decision,
                decision_limits=list(target.limits),
                false_match_rate=_round_known_rate(target.false_match_rate),
            )
            for target in comparison.targets
        ]
        return cls(
            recognizer=comparison.recognizer,
            source=FaceOut.of(comparison.source),
            targets=targets,
            faces_left_out=comparison.left_out,
            **describe_thresholds(comparison.thresholds),
        )
