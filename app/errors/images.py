"""Errors in an uploaded image, and in the face that it shows."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors.base import AppError


class ImageRefused(AppError):
    """The image cannot be used."""

    status = 422
    code = "image_refused"
    remedy = "See `detail`."


class ImageEmpty(ImageRefused):
    """The image is empty."""

    code = "image_empty"
    remedy = "Check the upload."


class ImageTooLarge(ImageRefused):
    """The image file exceeds the size limit."""

    status = 413
    code = "image_too_large"
    remedy = "Compress or scale it (`VULTUS_MAX_IMAGE_BYTES`)."


class ImageUnreadable(ImageRefused):
    """The file is not an image of a supported format."""

    code = "image_unreadable"
    remedy = "Convert it."


class ImageTruncated(ImageRefused):
    """The image is truncated or damaged."""

    code = "image_truncated"
    remedy = "Send the whole file."


class ImageTooManyPixels(ImageRefused):
    """The image has more pixels than allowed."""

    code = "image_too_many_pixels"
    remedy = "Scale it: `VULTUS_MAX_IMAGE_PIXELS`, and no side over 50 times the other."


class ImageTooComplex(ImageRefused):
    """The image takes too long to decode."""

    code = "image_too_complex"
    remedy = "Save it again as a plain JPEG, with fewer scans and segments."


class ImageAnimated(ImageRefused):
    """The image is animated; send a single frame."""

    code = "image_animated"
    remedy = "Send one frame."


class ImageModeUnsupported(ImageRefused):
    """The image's pixel format is not supported."""

    code = "image_mode_unsupported"
    remedy = "Convert it to 8-bit color or gray."


class ImageUrlNotAllowed(ImageRefused):
    """The server does not fetch this URL: its host or address is not one that the operator allows."""

    code = "image_url_not_allowed"
    remedy = "Send the photo; or ask the operator."


class ImageUrlUnreachable(ImageRefused):
    """The photo could not be fetched from its URL."""

    code = "image_url_unreachable"
    remedy = "Check that the URL answers 200 itself."


class ImageUrlTimeout(ImageRefused):
    """The photo did not arrive from its URL in time."""

    code = "image_url_timeout"
    remedy = "Send the photo itself, or fewer at once (`VULTUS_IMAGE_URL_TIMEOUT_S`)."


class FaceRefused(AppError):
    """The face in the image cannot be used."""

    status = 422
    code = "face_refused"
    remedy = "See `detail`."


class NoFace(FaceRefused):
    """No face was found in the image."""

    code = "no_face"
    remedy = "Send a photo with a visible face; try `detail=thorough`."


class SeveralFaces(FaceRefused):
    """The image shows several faces; send an image of one person, or set `face=largest`."""

    code = "several_faces"
    remedy = "Crop the photo, or send `face=largest`."


class FaceTooSmall(FaceRefused):
    """The face is too small for reliable recognition."""

    code = "face_too_small"
    remedy = "Send a larger photo (`VULTUS_MIN_FACE_PIXELS`)."


class FaceBlurred(FaceRefused):
    """The face is too blurred for reliable recognition."""

    code = "face_blurred"
    remedy = "Take a sharper photo (`VULTUS_MIN_SHARPNESS`)."


class FaceTooDark(FaceRefused):
    """The face is too dark for reliable recognition."""

    code = "face_too_dark"
    remedy = "Add light (`VULTUS_MIN_BRIGHTNESS`)."


class FaceTooBright(FaceRefused):
    """The face is too bright for reliable recognition."""

    code = "face_too_bright"
    remedy = "Reduce light (`VULTUS_MAX_BRIGHTNESS`)."


class FaceTurnedAway(FaceRefused):
    """The face is turned too far away from the camera for reliable recognition."""

    code = "face_turned_away"
    remedy = "Face the camera (`VULTUS_MAX_YAW_DEG` and `VULTUS_MAX_PITCH_DEG`)."


class FaceCutOff(FaceRefused):
    """Too little of the face lies within the photo for reliable recognition."""

    code = "face_cut_off"
    remedy = "Show the whole face (`VULTUS_MIN_VISIBLE_SHARE`)."


class FaceUncertain(FaceRefused):
    """The detection score is too low to be sure that this is a face."""

    code = "face_uncertain"
    remedy = "Send a clearer photo, or ask for less than the bar `HIGH`."


class FaceUnreliable(FaceRefused):
    """The face's quality score is below the bar, so its similarities say little about who it is."""

    code = "face_unreliable"
    remedy = "Send a sharp, well-lit photo of the whole face: the quality score is below 30."


class NoImageAccepted(AppError):
    """None of the images could be used; `errors` gives the reason for each."""

    status = 422
    code = "no_image_accepted"
    remedy = "See each image's code in `errors`."


@contextmanager
def about_image(field: str | None) -> Iterator[None]:
    """Name the field of the image in the errors about it that the block raises; None names no field."""
    try:
        yield
    except (ImageRefused, FaceRefused) as exc:
        if field is not None:
            exc.name_field(field)
        raise
