"""Errors in an uploaded image, and in the face that it shows."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors.base import AppError


class ImageRefused(AppError):
    """The image cannot be used."""

    status = 422
    code = "image_refused"


class ImageEmpty(ImageRefused):
    """The image is empty."""

    code = "image_empty"


class ImageTooLarge(ImageRefused):
    """The image file exceeds the size limit."""

    status = 413
    code = "image_too_large"


class ImageUnreadable(ImageRefused):
    """The file is not an image of a supported format."""

    code = "image_unreadable"


class ImageTruncated(ImageRefused):
    """The image is truncated or damaged."""

    code = "image_truncated"


class ImageTooManyPixels(ImageRefused):
    """The image has more pixels than allowed."""

    code = "image_too_many_pixels"


class ImageTooComplex(ImageRefused):
    """The image takes too long to decode."""

    code = "image_too_complex"


class ImageAnimated(ImageRefused):
    """The image is animated; send a single frame."""

    code = "image_animated"


class ImageModeUnsupported(ImageRefused):
    """The image's pixel format is not supported."""

    code = "image_mode_unsupported"


class ImageUrlNotAllowed(ImageRefused):
    """The server does not fetch this URL: its host or address is not one that the operator allows."""

    code = "image_url_not_allowed"


class ImageUrlUnreachable(ImageRefused):
    """The photo could not be fetched from its URL."""

    code = "image_url_unreachable"


class ImageUrlTimeout(ImageRefused):
    """The photo did not arrive from its URL in time."""

    code = "image_url_timeout"


class FaceRefused(AppError):
    """The face in the image cannot be used."""

    status = 422
    code = "face_refused"


class NoFace(FaceRefused):
    """No face was found in the image."""

    code = "no_face"


class SeveralFaces(FaceRefused):
    """The image shows several faces; send an image of one person, or set `face=largest`."""

    code = "several_faces"


class FaceTooSmall(FaceRefused):
    """The face is too small for reliable recognition."""

    code = "face_too_small"


class FaceBlurred(FaceRefused):
    """The face is too blurred for reliable recognition."""

    code = "face_blurred"


class FaceTooDark(FaceRefused):
    """The face is too dark for reliable recognition."""

    code = "face_too_dark"


class FaceTooBright(FaceRefused):
    """The face is too bright for reliable recognition."""

    code = "face_too_bright"


class FaceTurnedAway(FaceRefused):
    """The face is turned too far away from the camera for reliable recognition."""

    code = "face_turned_away"


class FaceCutOff(FaceRefused):
    """Too little of the face lies within the photo for reliable recognition."""

    code = "face_cut_off"


class FaceUncertain(FaceRefused):
    """The detection score is too low to be sure that this is a face."""

    code = "face_uncertain"


class FaceUnreliable(FaceRefused):
    """The face's quality score is below the bar, so its similarities say little about who it is."""

    code = "face_unreliable"


class NoImageAccepted(AppError):
    """None of the images could be used; `errors` gives the reason for each."""

    status = 422
    code = "no_image_accepted"


@contextmanager
def about_image(field: str | None) -> Iterator[None]:
    """Name the field of the image in the errors about it that the block raises; None names no field."""
    try:
        yield
    except (ImageRefused, FaceRefused) as exc:
        if field is not None:
            exc.name_field(field)
        raise
