"""Name the fields of a photo route: each photo comes as a file or base64, or as the URL of a file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.errors import BatchRouteNeeded, InvalidParameter, TooManyImages
from app.services.photos.image_urls import ImageUrl

SentImage = bytes | ImageUrl
"""A photo as the request has it."""


def url_field(field: str) -> str:
    """Return the field for URLs in place of an image field: `image_url` of `image`, `image_urls` of `images`."""
    return f"{field.removesuffix('s')}_urls" if field.endswith("s") else f"{field}_url"


@dataclass(frozen=True, slots=True)
class BatchRoute:
    """The route that takes several photos, in `field`, where another takes one."""

    path: str
    field: str

    def check_name(self, name: str) -> None:
        """Raise `BatchRouteNeeded` for a field of this route."""
        if name in (self.field, url_field(self.field)):
            raise BatchRouteNeeded(
                f"{name}: this route takes one photo. Send several photos to POST {self.path}.", field=name
            )


@dataclass(frozen=True, slots=True)
class PhotoFields:
    """The image fields of a route, with the maximum number of images in each."""

    counts: Mapping[str, int]
    batch: BatchRoute | None = None

    @property
    def url_counts(self) -> dict[str, int]:
        """The maximum number of URLs by their field."""
        return {url_field(field): limit for field, limit in self.counts.items()}

    @property
    def check_name(self) -> Callable[[str], None]:
        """Return the check of a field's name that refuses those of the batch route."""
        return self.batch.check_name if self.batch is not None else lambda name: None

    def check_counts(self, images: Mapping[str, list[SentImage]]) -> None:
        """Check that each image field has one to its maximum number of images, and that no other field has any."""
        files = [name for name, sent in images.items() if any(isinstance(one, bytes) for one in sent)]
        unknown = next((name for name in files if name not in self.counts), None)
        if unknown is not None:
            name, known = unknown[:64], " and ".join(f"`{field}`" for field in self.counts)
            raise InvalidParameter(f"{name}: this route takes no file in this field, only in {known}.", field=name)
        for field, limit in self.counts.items():
            self._check_count(field, limit, images)

    def _check_count(self, field: str, limit: int, images: Mapping[str, list[SentImage]]) -> None:
        by_url = url_field(field)
        name, sent = field, len(images.get(field, ()))
        if images.get(by_url):
            if sent:
                raise InvalidParameter(f"{field} and {by_url}: send only one of them.", field=by_url)
            name, sent = by_url, len(images[by_url])
        if not sent:
            raise InvalidParameter(f"{field}: an image is required.", field=field)
        if sent > limit:
            several = f" Send several photos to POST {self.batch.path}." if self.batch is not None else ""
            raise TooManyImages(
                f"{name}: {sent} images were sent; at most {limit} {'is' if limit == 1 else 'are'} allowed.{several}",
                field=name,
            )
