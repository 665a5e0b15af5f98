"""Define the requests and responses of links for guests."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from app.domain.albums import AlbumLink
from app.schemas import answer_fields as answer
from app.schemas.album_search import Cursor, FoundPhotoOut, Limit
from app.schemas.fields import DisplayName, Timestamp
from app.schemas.request_body import RequestBody
from app.schemas.text_rules import RATE, READABLE
from app.services.albums.links import Guest, IssuedLink
from app.services.albums.search import AlbumSearchResult
from app.services.paging import PageRequest

DEFAULT_RATE = "10/minute; 200/day"
_CONSENT_TEXT = (
    "Your photo is compared with the faces in this album to find the photos that show you. It is not stored."
)
_LINK_ID = "3f0c6a52-0d5e-4b1f-9a77-5d4f2f0f8c11"

ConsentText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2000),
    READABLE,
    Field(
        description="What guests agree to before they search; show it to them. It cannot be changed, so that each "
        "recorded search says what was agreed to.",
        examples=[_CONSENT_TEXT],
    ),
]


class AlbumLinkIn(RequestBody):
    """A link to issue."""

    label: DisplayName | None = Field(default=None, description="What the link is for.", examples=["guests' QR code"])
    consent_text: ConsentText = _CONSENT_TEXT
    rate: Annotated[
        str,
        RATE,
        Field(description="How often all guests with the link together may search.", examples=[DEFAULT_RATE]),
    ] = DEFAULT_RATE
    expires_at: Timestamp | None = Field(
        default=None,
        description="When the link ends. Default, and at the latest: when the album does.",
        examples=["2027-12-31T23:59:59Z"],
    )


class AlbumLinkOut(BaseModel):
    """A link for guests, without its token."""

    link_id: UUID = Field(examples=[_LINK_ID])
    label: str | None = Field(examples=["guests' QR code"])
    consent_text: str = Field(examples=[_CONSENT_TEXT])
    rate: str = Field(examples=[DEFAULT_RATE])
    searches: int = Field(description="How often guests have searched with it.", examples=[42])
    created_at: answer.CreatedAt
    expires_at: answer.ExpiresAt

    @classmethod
    def of(cls, link: AlbumLink) -> "AlbumLinkOut":
        return cls(
            link_id=link.id,
            label=link.label,
            consent_text=link.consent_text,
            rate=link.rate,
            searches=link.searches,
            created_at=link.created_at,
            expires_at=link.expires_at,
        )


class IssuedAlbumLinkOut(AlbumLinkOut):
    """A new link with its token."""

    token: str = Field(
        description="Guests send it as `Authorization: Bearer <token>`. It is shown only in this response. In an "
        "address of yours, put it behind the `#`, so that it reaches no log.",
        examples=["vl_k3Xw9QmT2bLzR7Ya_..."],
    )

    @classmethod
    def issued(cls, issued: IssuedLink) -> "IssuedAlbumLinkOut":
        return cls(**AlbumLinkOut.of(issued.link).model_dump(), token=issued.token)


class AlbumLinkPage(BaseModel):
    """One page of an album's links."""

    items: list[AlbumLinkOut]
    next_cursor: answer.NextCursor


class GuestAlbumOut(BaseModel):
    """What a guest sees of an album before a search."""

    title: str | None = Field(examples=["Ada and Ben"])
    consent_text: str = Field(description="What to agree to before a search.", examples=[_CONSENT_TEXT])
    expires_at: answer.ExpiresAt

    @classmethod
    def of(cls, guest: Guest) -> "GuestAlbumOut":
        return cls(title=guest.title, consent_text=guest.link.consent_text, expires_at=guest.link.expires_at)


class GuestSearchForm(RequestBody):
    """The text fields of `POST /guest/search`."""

    consent: Literal["given"] = Field(
        description="`given`: the guest agrees to the `consent_text` of the link.",
        examples=["given"],
        json_schema_extra={"type": "string", "enum": ["given"]},
    )
    limit: Limit = 100
    cursor: Cursor | None = None

    def page(self) -> PageRequest:
        return PageRequest(self.limit, self.cursor)


class GuestSearchOut(BaseModel):
    """One page of the photos that show the guest, most similar first. `total` counts all pages."""

    total: int = Field(examples=[87])
    items: list[FoundPhotoOut]
    next_cursor: str | None = Field(
        description="Send it as `cursor`, with the same photo, to get the next page. Null on the last page.",
        examples=[None],
    )

    @classmethod
    def of(cls, result: AlbumSearchResult) -> "GuestSearchOut":
        items = [FoundPhotoOut.of(photo) for photo in result.photos]
        return cls(total=result.total, items=items, next_cursor=result.next_cursor)
