"""Define the requests and responses of videos."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from app.domain.albums import Keep
from app.domain.decisions import Decision
from app.domain.sightings import SightingState
from app.domain.videos import Interval, NewVideo, Sampling, Video, VideoSource, VideoState
from app.schemas import answer_fields as answer
from app.schemas.album_sources import BucketName, ObjectName
from app.schemas.album_uploads import UploadFormOut
from app.schemas.fields import CollectionName, ExternalImageId
from app.schemas.origins import RelativeBoxBody
from app.schemas.recognition import round_rate
from app.schemas.request_body import RequestBody
from app.schemas.sightings import SeenSubjectOut, describe_seen
from app.services.videos.elsewhere import AnnouncedVideo
from app.services.videos.search import FoundAppearance
from app.services.videos.videos import AppearingPerson

VIDEO_ID = "5f0c2a18-7a0e-4d5c-9b7e-3d1c6a2f4e90"


class VideoForm(RequestBody):
    """The text fields of `POST /videos`."""

    album: CollectionName = Field(description="The album that the video belongs to.", examples=["summer-party"])
    external_id: ExternalImageId = Field(description="Your id for the video.", examples=["opening.mp4"])
    samples_per_second: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = Field(
        default=2.0, description="How many frames of each second are looked at.", examples=[2]
    )
    keyframes_only: bool = Field(
        default=False,
        description="Look only at frames that are stored whole: many times faster. Who appears for less than some "
        "seconds is missed.",
        examples=[False],
    )
    max_minutes: Annotated[float, Field(gt=0, le=720, allow_inf_nan=False)] = Field(
        default=240.0, description="A longer video fails.", examples=[240]
    )

    keep: Keep | None = Field(
        default=None,
        description="`crops` keeps a picture of the best face of each person, encrypted, as long as the video. "
        "Default: as the album.",
        examples=[Keep.CROPS],
    )

    def video(self) -> NewVideo:
        sampling = Sampling(self.samples_per_second, self.keyframes_only, self.max_minutes)
        return NewVideo(self.album, self.external_id, sampling, self.keep)


class StoredVideoIn(VideoForm):
    """A video in a bucket of the tenant's object store: the JSON body of `POST /videos`."""

    bucket: BucketName
    name: Annotated[ObjectName, Field(description="The object's name.", examples=["day-1/opening.mp4"])]

    def source(self) -> VideoSource:
        return VideoSource(self.bucket, self.name)


class VideoSearchForm(RequestBody):
    """The text fields of `POST /videos/search`."""

    album: CollectionName = Field(description="The album whose videos are searched.", examples=["summer-party"])


class VideoOut(BaseModel):
    """A video of an album."""

    video_id: UUID = Field(examples=[VIDEO_ID])
    album: str = Field(examples=["summer-party"])
    external_id: str = Field(description="Your id for the video.", examples=["opening.mp4"])
    state: VideoState
    received_at: answer.CreatedAt
    finished_at: answer.UpdatedAt | None = Field(description="Null until the video is done or failed.")
    width: int | None = Field(description="As it is shown. Null until a worker has looked at it.", examples=[1920])
    height: int | None = Field(examples=[1080])
    duration_ms: int | None = Field(examples=[62500])
    position_ms: int = Field(description="How much of it is processed.", examples=[62500])
    codec: str | None = Field(examples=["h264"])
    people: int | None = Field(description="How many people appear. Null until it is done.", examples=[3])
    code: str | None = Field(description="Why the video failed: an error code.", examples=[None])
    detail: str | None = Field(description="Why the video failed, in words.", examples=[None])

    @classmethod
    def of(cls, video: Video) -> "VideoOut":
        facts = video.facts
        duration = facts.duration_ms if facts else None
        return cls(
            video_id=video.id,
            album=video.album,
            external_id=video.external_id,
            state=video.state,
            received_at=video.received_at,
            finished_at=video.finished_at,
            width=facts.width if facts else None,
            height=facts.height if facts else None,
            duration_ms=duration,
            position_ms=video.position_ms if duration is None else min(video.position_ms, duration),
            codec=facts.codec if facts else None,
            people=video.people,
            code=video.code,
            detail=video.detail,
        )


class ReceivedVideoOut(VideoOut):
    """A video that was received, now or by an earlier request."""

    is_new: bool = Field(
        description="Whether this request added the video. False if it was sent before.", examples=[True]
    )

    @classmethod
    def received(cls, video: Video, *, is_new: bool) -> "ReceivedVideoOut":
        return cls(**VideoOut.of(video).model_dump(), is_new=is_new)


class AnnouncedVideoOut(ReceivedVideoOut):
    """A video that may be uploaded."""

    upload: UploadFormOut

    @classmethod
    def announced(cls, video: Video, announced: AnnouncedVideo) -> "AnnouncedVideoOut":
        return cls(**VideoOut.of(video).model_dump(), is_new=announced.is_new, upload=UploadFormOut.of(announced))


class VideoPage(BaseModel):
    """One page of videos."""

    items: list[VideoOut]
    next_cursor: answer.NextCursor


class IntervalOut(BaseModel):
    """From the first to the last frame in which somebody was seen without a longer break."""

    begin_ms: int = Field(examples=[1500])
    end_ms: int = Field(examples=[8000])

    @classmethod
    def of(cls, interval: Interval) -> "IntervalOut":
        return cls(begin_ms=interval.begin_ms, end_ms=interval.end_ms)


class AppearanceOut(BaseModel):
    """Somebody who appears in a video, and when."""

    video_id: UUID = Field(examples=[VIDEO_ID])
    external_id: str = Field(description="Your id for the video.", examples=["opening.mp4"])
    face_id: UUID = Field(
        description="The best face. Decide on it with `POST /sightings/decide`.", examples=[answer.FACE_ID]
    )
    intervals: list[IntervalOut]
    best_ms: int = Field(description="When the person is seen best.", examples=[4500])
    bounding_box: RelativeBoxBody = Field(description="Where the face is then.")
    frames: int = Field(description="In how many of the frames that were looked at.", examples=[13])


class PersonOut(AppearanceOut):
    """Somebody who appears in a video, and who it is as far as that is known."""

    state: SightingState | None = Field(
        description="As for the faces of photos. Null if the face belongs to a subject of the album itself.",
        examples=[SightingState.MATCHED],
    )
    subject: SeenSubjectOut | None = Field(description="Null if nobody resembles the face.")
    similarity: float | None = Field(description="Cosine with the subject's most similar template.", examples=[0.7312])
    false_match_rate: float | None = Field(
        description="How often a search for somebody who is not in the collection finds a face at least this similar.",
        examples=[2.5e-05],
    )

    @classmethod
    def of(cls, person: AppearingPerson) -> "PersonOut":
        sighting = person.sighting
        rate = sighting.false_match_rate if sighting else None
        similarity = sighting.similarity if sighting else None
        return cls(
            **_describe(person).model_dump(),
            state=sighting.state if sighting else None,
            subject=describe_seen(sighting) if sighting else None,
            similarity=None if similarity is None else round(similarity, 4),
            false_match_rate=None if rate is None else round_rate(rate),
        )


class VideoPeopleOut(BaseModel):
    """Who appears in a video, those seen most often first."""

    people: list[PersonOut]


class AppearancePage(BaseModel):
    """One page of a subject's appearances, oldest first."""

    items: list[PersonOut]
    next_cursor: answer.NextCursor


class FoundAppearanceOut(AppearanceOut):
    """An appearance of somebody who resembles the photo."""

    similarity: float = Field(examples=[0.7312])
    decision: Decision
    false_match_rate: float | None = Field(examples=[2.5e-05])

    @classmethod
    def of(cls, found: FoundAppearance) -> "FoundAppearanceOut":
        return cls(
            **_describe(found).model_dump(),
            similarity=round(found.similarity, 4),
            decision=found.decision,
            false_match_rate=None if found.false_match_rate is None else round_rate(found.false_match_rate),
        )


class FoundAppearancesOut(BaseModel):
    """Every appearance that matches or may match, most similar first."""

    items: list[FoundAppearanceOut]


def _describe(one: "AppearingPerson | FoundAppearance") -> AppearanceOut:
    appearance = one.appearance
    return AppearanceOut(
        video_id=appearance.video_id,
        external_id=one.video.external_id,
        face_id=appearance.face_ids[0],
        intervals=[IntervalOut.of(interval) for interval in appearance.intervals],
        best_ms=appearance.best_ms,
        bounding_box=RelativeBoxBody.of(appearance.box),
        frames=appearance.frames,
    )
