"""Define the requests and responses of albums and their photos."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from app.domain.albums import AlbumPhoto, Keep, PhotoCounts, PhotoState
from app.errors import AppError
from app.schemas import answer_fields as answer
from app.schemas.batches import PhotoProblemOut, list_items
from app.schemas.fields import FORM_LIST, JSON_NUMBER, CollectionName, DisplayName, ExternalImageId, Timestamp
from app.schemas.request_body import RequestBody
from app.services.albums.albums import AlbumChange, CountedAlbum
from app.services.albums.intake import ReceivedPhoto

_MAX_EXPECTED = 10_000_000

Expected = Annotated[
    int,
    Field(
        ge=1, le=_MAX_EXPECTED, description="How many photos you will send; for the progress only.", examples=[10000]
    ),
    JSON_NUMBER,
]
AlbumExpiry = Annotated[
    Timestamp,
    Field(
        description="When to erase the album with everything in it. Must include a time zone. Default: after your "
        "policy's retention period, else after 90 days.",
        examples=["2027-12-31T23:59:59Z"],
    ),
]


People = Annotated[
    list[CollectionName],
    Field(
        max_length=20,
        description="The collections whose people are looked for in the photos, as they come in and whenever somebody "
        "is registered: see `GET /albums/{album}/sightings`.",
        examples=[["staff"]],
    ),
]


class AlbumIn(RequestBody):
    """An album to create."""

    id: CollectionName = Field(
        description="Your id for the album, also the name of the collection with its faces: at most 255 letters, "
        "digits, `_`, `-` and `.`; must not begin with `.`.",
        examples=["wedding-2026"],
    )
    title: DisplayName | None = Field(default=None, examples=["Ada and Ben"])
    keep: Keep = Field(
        default=Keep.NOTHING,
        description="`crops` keeps a picture of each stored face, encrypted, as long as the album. `nothing` keeps no "
        "pictures: photos are deleted as soon as they are processed.",
    )
    expected: Expected | None = None
    expires_at: AlbumExpiry | None = None
    people: People = []


class AlbumChangesIn(RequestBody):
    """Changes of an album. Omitted fields keep their values."""

    title: DisplayName | None = Field(default=None, examples=["Ada and Ben"])
    expected: Expected | None = None
    expires_at: AlbumExpiry | None = None
    closed: bool | None = Field(
        default=None,
        strict=True,
        description="`true` closes the album to new photos; those that wait are still processed. `false` reopens it.",
    )

    people: People | None = None

    def change(self) -> AlbumChange:
        return AlbumChange(self.title, self.expected, self.expires_at, self.closed, self.people)


class PhotoCountsOut(BaseModel):
    """An album's photos by state, and its stored faces."""

    total: int = Field(examples=[10000])
    announced: int = Field(description="Photos that were announced and are not uploaded yet.", examples=[0])
    received: int = Field(description="Photos that wait.", examples=[812])
    working: int = Field(description="Photos that are being processed.", examples=[16])
    done: int = Field(examples=[9170])
    failed: int = Field(description="Photos that could not be processed; each says why.", examples=[2])
    faces: int = Field(description="Faces that are stored.", examples=[38211])

    @classmethod
    def of(cls, counts: PhotoCounts) -> "PhotoCountsOut":
        return cls(
            total=counts.total,
            announced=counts.announced,
            received=counts.received,
            working=counts.working,
            done=counts.done,
            failed=counts.failed,
            faces=counts.faces,
        )


class AlbumOut(BaseModel):
    """An album. Its faces are in the collection of the same name."""

    id: str = Field(examples=["wedding-2026"])
    title: str | None = Field(examples=["Ada and Ben"])
    keep: Keep
    expected: int | None = Field(description="How many photos were announced.", examples=[10000])
    created_at: answer.CreatedAt
    expires_at: answer.ExpiresAt
    closed_at: answer.UpdatedAt | None = Field(description="Since when the album takes no more photos. Null: it does.")
    people: list[str] = Field(
        description="The collections whose people are looked for in the photos.", examples=[["staff"]]
    )
    photos: PhotoCountsOut

    @classmethod
    def of(cls, counted: CountedAlbum) -> "AlbumOut":
        album = counted.album
        return cls(
            id=album.name,
            title=album.title,
            keep=album.keep,
            expected=album.expected,
            created_at=album.created_at,
            expires_at=album.expires_at,
            closed_at=album.closed_at,
            people=counted.people,
            photos=PhotoCountsOut.of(counted.counts),
        )


class AlbumPage(BaseModel):
    """One page of albums."""

    items: list[AlbumOut]
    next_cursor: answer.NextCursor


class AlbumPhotoForm(RequestBody):
    """The text fields of `PUT /albums/{album}/photos/{external_id}`: none."""


class AlbumPhotosForm(RequestBody):
    """The text fields of `POST /albums/{album}/photos`."""

    external_ids: Annotated[list[ExternalImageId], Field(min_length=1, max_length=100), FORM_LIST] = Field(
        description="Your id for each photo, in the order of the photos. In a form, a field for each, or a JSON array.",
        examples=[["IMG_0001.jpg", "IMG_0002.jpg"]],
    )


class AlbumPhotoOut(BaseModel):
    """A photo of an album."""

    external_id: str = Field(description="Your id for the photo.", examples=["IMG_0001.jpg"])
    image_id: UUID = Field(
        description="The id of the photo, which its faces share.", examples=["3d1c58f0-5b5e-4a4c-9d0a-1f2b7c1a9e66"]
    )
    state: PhotoState
    received_at: answer.CreatedAt
    finished_at: answer.UpdatedAt | None = Field(description="Null until the photo is done or failed.")
    width: int | None = Field(description="The width of the upright photo. Null until it is done.", examples=[1280])
    height: int | None = Field(examples=[886])
    faces: int | None = Field(description="How many faces are stored. Null until the photo is done.", examples=[6])
    faces_skipped: int | None = Field(
        description="How many more faces were found that are too small, too blurred or too many to be stored.",
        examples=[1],
    )
    code: str | None = Field(
        description="Why the photo failed: an error code. `no_face` if it is done and shows nobody.", examples=[None]
    )
    detail: str | None = Field(description="Why the photo failed, in words.", examples=[None])
    can_retry: bool = Field(
        description="Whether `POST /albums/{album}/retry` processes the failed photo again. Otherwise send it again.",
        examples=[False],
    )

    @classmethod
    def of(cls, photo: AlbumPhoto) -> "AlbumPhotoOut":
        return cls(
            external_id=photo.external_id,
            image_id=photo.id,
            state=photo.state,
            received_at=photo.received_at,
            finished_at=photo.finished_at,
            width=photo.width,
            height=photo.height,
            faces=photo.faces,
            faces_skipped=photo.faces_skipped,
            code=photo.code,
            detail=photo.detail,
            can_retry=photo.can_retry,
        )


class AlbumPhotoPage(BaseModel):
    """One page of an album's photos."""

    items: list[AlbumPhotoOut]
    next_cursor: answer.NextCursor


class ReceivedPhotoOut(AlbumPhotoOut):
    """A photo that was received, now or by an earlier request."""

    is_new: bool = Field(
        description="Whether this request added the photo. False if it was sent before.", examples=[True]
    )

    @classmethod
    def received(cls, received: ReceivedPhoto) -> "ReceivedPhotoOut":
        return cls(**AlbumPhotoOut.of(received.photo).model_dump(), is_new=received.is_new)


class ReceivedItemOut(BaseModel):
    """One photo of several: what the route for one photo answers, or a problem."""

    index: int = Field(description="Position among the request's photos, from 0.", examples=[0])
    external_id: str = Field(examples=["IMG_0001.jpg"])
    answer: ReceivedPhotoOut | None = Field(description="The received photo. Null if `problem` is set.")
    problem: PhotoProblemOut | None = Field(description="Why the photo was refused. Null if `answer` is set.")


class ReceivedPhotosOut(BaseModel):
    """One item for each photo, in the order of the request."""

    items: list[ReceivedItemOut]

    @classmethod
    def of(
        cls, external_ids: Sequence[str], received: Sequence[ReceivedPhoto | AppError], field: str
    ) -> "ReceivedPhotosOut":
        return cls(
            items=list_items(ReceivedItemOut, received, ReceivedPhotoOut.received, field, external_id=external_ids)
        )


class RetriedOut(BaseModel):
    """How many failed photos wait again."""

    retried: int = Field(examples=[2])


class AlbumEventOut(BaseModel):
    """The progress of an album, as the stream of events sends it."""

    photos: PhotoCountsOut
    photos_per_second: float = Field(description="Photos finished per second, over the last seconds.", examples=[31.5])
    remaining_s: float | None = Field(
        description="When the waiting photos will be done, in seconds. Null while none is finished.", examples=[26.3]
    )
    at: datetime = Field(examples=["2026-01-17T09:30:00Z"])
