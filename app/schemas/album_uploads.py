"""Define the requests and responses for photos that callers upload to the bucket themselves."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field

from app.domain.albums import AlbumPhoto
from app.errors import AppError, InvalidParameter
from app.schemas.albums import AlbumPhotoOut
from app.schemas.batches import PhotoProblemOut, list_items
from app.schemas.fields import ExternalImageId
from app.schemas.request_body import RequestBody
from app.services.albums.uploads import AnnouncedPhoto
from app.services.videos.elsewhere import AnnouncedVideo

MAX_UPLOADS = 100

_INDEX = "Position among the request's photos, from 0."


def check_distinct(external_ids: Sequence[str], field: str) -> list[str]:
    """Return the ids; raises `InvalidParameter` if one is there twice."""
    seen = set[str]()
    for one in external_ids:
        if one in seen:
            raise InvalidParameter(f"{field}: {one!r} is there twice; each photo needs its own.", field=field)
        seen.add(one)
    return list(external_ids)


class PhotoToUploadIn(RequestBody):
    """A photo to upload."""

    external_id: ExternalImageId


class UploadsIn(RequestBody):
    """Photos to upload."""

    photos: list[PhotoToUploadIn] = Field(min_length=1, max_length=MAX_UPLOADS)

    def external_ids(self) -> list[str]:
        return check_distinct([photo.external_id for photo in self.photos], "photos")


class UploadedIn(RequestBody):
    """Photos that were uploaded."""

    external_ids: list[ExternalImageId] = Field(
        min_length=1, max_length=MAX_UPLOADS, examples=[["IMG_0001.jpg", "IMG_0002.jpg"]]
    )

    def distinct(self) -> list[str]:
        return check_distinct(self.external_ids, "external_ids")


class UploadFormOut(BaseModel):
    """A form to upload one file: POST it as `multipart/form-data` with these fields and, last, the field `file`."""

    url: str = Field(examples=["https://minio.example:9000/photos"])
    fields: dict[str, str] = Field(
        description="Fields to send as they are, before the file.",
        examples=[{"key": "waiting/6f1c/3d1c", "policy": "eyJleHBpcmF0aW9uIjoi", "x-amz-signature": "9f86d081"}],
    )
    max_bytes: int = Field(description="The bucket refuses larger files, and empty ones.", examples=[20971520])
    expires_at: datetime = Field(
        description="The bucket refuses later uploads; announce it again then.",
        examples=["2026-01-17T09:45:00Z"],
    )

    @classmethod
    def of(cls, announced: AnnouncedPhoto | AnnouncedVideo) -> "UploadFormOut":
        form = announced.form
        return cls(url=form.url, fields=form.fields, max_bytes=form.max_bytes, expires_at=form.expires_at)


class AnnouncedPhotoOut(AlbumPhotoOut):
    """A photo that may be uploaded."""

    is_new: bool = Field(
        description="Whether this request added the photo. False if it was announced before.", examples=[True]
    )
    upload: UploadFormOut

    @classmethod
    def announced(cls, announced: AnnouncedPhoto) -> "AnnouncedPhotoOut":
        upload = UploadFormOut.of(announced)
        return cls(**AlbumPhotoOut.of(announced.photo).model_dump(), is_new=announced.is_new, upload=upload)


class AnnouncedItemOut(BaseModel):
    """One photo of the request: how to upload it, or a problem."""

    index: int = Field(description=_INDEX, examples=[0])
    external_id: str = Field(examples=["IMG_0001.jpg"])
    answer: AnnouncedPhotoOut | None = Field(description="The announced photo. Null if `problem` is set.")
    problem: PhotoProblemOut | None = Field(description="Why it may not be uploaded. Null if `answer` is set.")


class UploadsOut(BaseModel):
    """One item for each photo, in the order of the request."""

    items: list[AnnouncedItemOut]

    @classmethod
    def of(cls, external_ids: Sequence[str], announced: "Sequence[AnnouncedPhoto | AppError]") -> "UploadsOut":
        return cls(
            items=list_items(
                AnnouncedItemOut, announced, AnnouncedPhotoOut.announced, "photos", external_id=external_ids
            )
        )


class UploadedItemOut(BaseModel):
    """One uploaded photo, or why it was not received."""

    index: int = Field(description=_INDEX, examples=[0])
    external_id: str = Field(examples=["IMG_0001.jpg"])
    answer: AlbumPhotoOut | None = Field(description="The photo. Null if `problem` is set.")
    problem: PhotoProblemOut | None = Field(description="Why it was not received. Null if `answer` is set.")


class UploadedOut(BaseModel):
    """One item for each photo, in the order of the request."""

    items: list[UploadedItemOut]

    @classmethod
    def of(cls, external_ids: Sequence[str], photos: "Sequence[AlbumPhoto | AppError]") -> "UploadedOut":
        return cls(
            items=list_items(UploadedItemOut, photos, AlbumPhotoOut.of, "external_ids", external_id=external_ids)
        )
