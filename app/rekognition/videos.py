"""StartFaceDetection, GetFaceDetection, StartFaceSearch, GetFaceSearch."""

from typing import Any
from uuid import UUID

from app.domain.video_jobs import JobFace, VideoJob, VideoJobKind
from app.domain.videos import VideoSource, VideoState
from app.errors import InvalidParameter, VideoJobNotFound
from app.rekognition.call import Call, Result
from app.rekognition.confidence import confidence
from app.rekognition.faces_out import show_box, show_stored
from app.services.paging import PageRequest
from app.services.videos.jobs import FoundFaces

_PAGE = 1000
_THRESHOLD = 80.0
_STATUS = {VideoState.DONE: "SUCCEEDED", VideoState.FAILED: "FAILED"}


async def start_face_detection(call: Call) -> Result:
    source = await _find_video(call)
    async with call.changing() as services:

        async def start() -> Result:
            job_id = await services.video_jobs().start(
                VideoJobKind.DETECTION, source, tag=call.parameters.get("JobTag")
            )
            return {"JobId": str(job_id)}

        return await call.run_once(services, start)


async def start_face_search(call: Call) -> Result:
    scale, source = await call.scale(), await _find_video(call)
    least = scale.cosine(call.parameters.get("FaceMatchThreshold", _THRESHOLD))
    async with call.changing() as services:

        async def start() -> Result:
            jobs, tag = services.video_jobs(), call.parameters.get("JobTag")
            job_id = await jobs.start(
                VideoJobKind.SEARCH, source, collection=call.collection, min_similarity=least, tag=tag
            )
            return {"JobId": str(job_id)}

        return await call.run_once(services, start)


async def get_face_detection(call: Call) -> Result:
    found = await _get(call, VideoJobKind.DETECTION)
    faces = [{"Timestamp": one.at_ms, "Face": _show_face(one)} for one in found.page.items]
    return {**_show_job(found), "Faces": faces}


async def get_face_search(call: Call) -> Result:
    found = await _get(call, VideoJobKind.SEARCH)
    matches: dict[int, list[dict[str, Any]]] = {}
    if found.matches and found.job.order.collection is not None:
        scale = await call.scale_of(found.job.order.collection)
        matches = {
            person: [{"Similarity": scale.percent(similarity), "Face": show_stored(face)} for face, similarity in shown]
            for person, shown in found.matches.items()
        }
    people = [
        {
            "Timestamp": one.at_ms,
            "Person": {"Index": one.person, "BoundingBox": show_box(one.box), "Face": _show_face(one)},
            "FaceMatches": matches.get(one.person, []),
        }
        for one in found.page.items
    ]
    return {**_show_job(found), "Persons": people}


async def _find_video(call: Call) -> VideoSource:
    """Return the video that a job is about, after a look at its size.

    Raises `InvalidParameter`, `ObjectUnavailable`, `VideoTooLarge` or `VideosNotSupported`.
    """
    limits = call.caller.video_limits()
    if "NotificationChannel" in call.parameters:
        raise InvalidParameter(
            "NotificationChannel: Amazon SNS is not available here; leave it out, and ask for the results until "
            "JobStatus is no longer IN_PROGRESS.",
            field="NotificationChannel",
        )
    s3_object = call.parameters["Video"].get("S3Object", {})
    for name in ("Bucket", "Name"):
        if name not in s3_object:
            raise InvalidParameter(f"Video.S3Object.{name}: is missing.", field=f"Video.S3Object.{name}")
    source = VideoSource(s3_object["Bucket"], s3_object["Name"], s3_object.get("Version"))
    size = await call.caller.state.objects.measure(
        call.caller.principal.tenant_id, source.bucket, source.name, source.version
    )
    limits.check_size(size)
    return source


async def _get(call: Call, kind: VideoJobKind) -> FoundFaces:
    try:
        job_id = UUID(call.parameters["JobId"])
    except ValueError:
        raise VideoJobNotFound("JobId: this is not the id of a job.") from None
    request = PageRequest(min(call.parameters.get("MaxResults") or _PAGE, _PAGE), call.parameters.get("NextToken"))
    by_person = call.parameters.get("SortBy") == "INDEX"
    async with call.reading() as services:
        return await services.video_jobs().get(kind, job_id, request, by_person=by_person)


def _show_job(found: FoundFaces) -> Result:
    job, source = found.job, found.job.source
    s3_object = {"Bucket": source.bucket, "Name": source.name, "Version": source.version}
    return {
        "JobId": str(job.id),
        "JobStatus": _STATUS.get(job.state, "IN_PROGRESS"),
        "StatusMessage": f"{job.code}: {job.detail}" if job.state is VideoState.FAILED else None,
        "JobTag": job.order.tag,
        "Video": {"S3Object": s3_object},
        "VideoMetadata": _show_metadata(job),
        "NextToken": found.page.next_cursor,
    }


def _show_metadata(job: VideoJob) -> dict[str, Any] | None:
    facts = job.facts
    if facts is None:
        return None
    return {
        "Codec": facts.codec,
        "DurationMillis": facts.duration_ms,
        "FrameRate": facts.frames_per_second,
        "FrameWidth": facts.width,
        "FrameHeight": facts.height,
    }


def _show_face(face: JobFace) -> dict[str, Any]:
    """Return a `FaceDetail` of a frame."""
    return {"BoundingBox": show_box(face.box), "Confidence": confidence(face.detection_score)}
