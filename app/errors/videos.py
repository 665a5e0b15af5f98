"""Errors of videos."""

from typing import Self

from app.errors.availability import TooManyRequests
from app.errors.images import ImageRefused
from app.errors.requests import RequestRefused
from app.errors.resources import Conflict, NotFound


class VideoNotFound(NotFound):
    """The video does not exist."""

    code = "video_not_found"
    remedy = "List the videos."


class VideoJobNotFound(NotFound):
    """The job does not exist, or is older than seven days."""

    code = "video_job_not_found"


class VideoExists(Conflict):
    """The album has another video with this id."""

    code = "video_exists"
    remedy = "Delete it, or choose another id."


class VideoNotUploaded(Conflict):
    """The announced video is not in the bucket; upload it first."""

    code = "video_not_uploaded"


class VideosNotSupported(RequestRefused):
    """This server processes no videos: its operator can install `vultus[video]`."""

    code = "videos_not_supported"
    remedy = "Ask the operator for `vultus[video]`."


class TooManyVideosWaiting(TooManyRequests):
    """Too many of your videos wait to be processed."""

    code = "too_many_videos_waiting"
    remedy = "Wait as `Retry-After` says."


class VideoRefused(ImageRefused):
    """The video cannot be processed."""

    code = "video_refused"
    remedy = "See `detail`."

    @classmethod
    def of(cls, code: str, detail: str) -> Self:
        """Build the error that the decoding process reports by its code."""
        kind = next((one for one in cls.__subclasses__() if one.code == code), cls)
        return kind(detail)


class VideoUnreadable(VideoRefused):
    """The file is no video in a supported container, or it is damaged."""

    code = "video_unreadable"
    remedy = "Convert it to MP4."


class VideoEncrypted(VideoRefused):
    """The video is encrypted."""

    code = "video_encrypted"


class VideoWithoutPicture(VideoRefused):
    """The file has no pictures that can be decoded."""

    code = "video_without_picture"
    remedy = "Convert it to H.264."


class VideoTooLarge(VideoRefused):
    """The video's frames or its file exceed a limit."""

    code = "video_too_large"
    remedy = "Scale it down."


class VideoTooLong(VideoRefused):
    """The video is longer than allowed."""

    code = "video_too_long"
    remedy = "Cut it, or allow more with `max_minutes`."


class VideoTooComplex(VideoRefused):
    """The video has too many streams, or takes too much memory."""

    code = "video_too_complex"
    remedy = "Save it again with one video stream."


class VideoStuck(VideoRefused):
    """Decoding the video takes too long, or ends without a reason."""

    code = "video_stuck"
    remedy = "Save it again."
