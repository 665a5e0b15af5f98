"""Define the request for photos that lie in the tenant's own object store."""

from typing import Annotated

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from app.errors import InvalidParameter
from app.schemas.album_uploads import check_distinct
from app.schemas.fields import ExternalImageId
from app.schemas.request_body import RequestBody
from app.schemas.text_rules import PRINTABLE, SLUG

_EXTERNAL_ID: TypeAdapter[str] = TypeAdapter(ExternalImageId)

BucketName = Annotated[str, SLUG, Field(description="The bucket.", examples=["wedding"])]
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=1024), PRINTABLE]


class StoredPhotosIn(RequestBody):
    """Photos in a bucket of the tenant's object store."""

    bucket: BucketName
    names: list[ObjectName] = Field(
        min_length=1,
        max_length=1000,
        description="The objects' names, which are also your ids for the photos unless you send `external_ids`.",
        examples=[["day-1/IMG_0001.jpg", "day-1/IMG_0002.jpg"]],
    )
    external_ids: list[ExternalImageId] | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="Your id for each photo, in the order of the names.",
        examples=[["IMG_0001.jpg", "IMG_0002.jpg"]],
    )

    def ids(self) -> list[str]:
        """Return the caller's id for each name; raises `InvalidParameter` unless each has its own."""
        if self.external_ids is None:
            return check_distinct([_as_id(name) for name in self.names], "names")
        if len(self.external_ids) != len(self.names):
            raise InvalidParameter(
                f"external_ids: {len(self.external_ids)} ids were sent for {len(self.names)} names; send one for each.",
                field="external_ids",
            )
        return check_distinct(self.external_ids, "external_ids")


def _as_id(name: str) -> str:
    try:
        return _EXTERNAL_ID.validate_python(name)
    except ValidationError:
        raise InvalidParameter(
            f"names: {name[:100]!r} cannot be an id for a photo (1 to 255 characters, none of them invisible); send "
            "external_ids.",
            field="names",
        ) from None
