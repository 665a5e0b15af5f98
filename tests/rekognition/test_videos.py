"""StartFaceSearch, GetFaceSearch, StartFaceDetection and GetFaceDetection by unmodified boto3."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests import hostile_videos, pictures
from tests.cli.album_servers import working
from tests.rekognition.conftest import Tenant, make_tenant
from tests.rekognition.test_errors import refused
from tests.servers import serving
from tests.videos import Part, film

# Person 1 is seen twice, person 2 in between and at the same time at the end.
SCRIPT = [Part(1, 0, 3), Part(2, 4, 8, 480, 300), Part(1, 6, 8, 150, 200, take=2)]
BUCKET = "films"


@pytest.fixture(scope="module")
def films(bucket: str) -> str:
    """The address of an S3 server with videos."""
    s3 = boto3.client(
        "s3",
        endpoint_url=bucket,
        region_name="us-east-1",
        aws_access_key_id="reader",
        aws_secret_access_key="s3 secret",
        config=Config(s3={"addressing_style": "path"}),
    )
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="party.mp4", Body=film(SCRIPT, 8, per_second=4))
    s3.put_object(Bucket=BUCKET, Key="encrypted.mp4", Body=hostile_videos.encrypted())
    s3.put_object(Bucket=BUCKET, Key="large.mp4", Body=bytes(2_000_001))
    s3.close()
    return bucket


@pytest.fixture(scope="module")
def video_server(service_env: dict[str, str], films: str) -> Iterator[str]:
    """A server that may fetch from the store, and a worker beside it."""
    env = {
        **service_env,
        "VULTUS_OBJECT_STORE_ENDPOINTS": films,
        "VULTUS_MAX_VIDEO_BYTES": "2000000",
        "VULTUS_MAX_WAITING_VIDEOS": "3",
    }
    with serving(**env) as (base, _), working(**env):
        yield base


@pytest.fixture
def owner(video_server: str, films: str) -> Iterator[Tenant]:
    with make_tenant(video_server) as made:
        body = {"endpoint": films, "access_key_id": "reader", "secret_access_key": "s3 secret"}
        made.native.put("/object-store", json=body).raise_for_status()
        yield made


def video(name: str = "party.mp4", bucket: str = BUCKET) -> dict[str, Any]:
    return {"S3Object": {"Bucket": bucket, "Name": name}}


def ended(get: Any, job_id: str, **more: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while True:
        found: dict[str, Any] = get(JobId=job_id, **more)
        if found["JobStatus"] != "IN_PROGRESS":
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def test_people_of_a_collection_are_found_in_time(owner: Tenant, stranger: Tenant) -> None:
    client = owner.client()
    client.create_collection(CollectionId="people")
    image = {"Bytes": pictures.photo(1)}
    (record,) = client.index_faces(CollectionId="people", Image=image, ExternalImageId="ada")["FaceRecords"]
    face_id = record["Face"]["FaceId"]
    asked = {"Video": video(), "CollectionId": "people", "JobTag": "party", "ClientRequestToken": "once"}
    job_id = client.start_face_search(**asked)["JobId"]
    assert client.start_face_search(**asked)["JobId"] == job_id
    refused(lambda: client.start_face_search(**{**asked, "JobTag": "other"}), "IdempotentParameterMismatchException")
    found = ended(client.get_face_search, job_id)
    assert (found["JobStatus"], found["JobTag"], found["JobId"]) == ("SUCCEEDED", "party", job_id), found
    assert found["Video"] == video()
    assert (found["VideoMetadata"]["FrameWidth"], found["VideoMetadata"]["Codec"]) == (640, "h264")
    times: dict[int, list[int]] = {}
    for person in found["Persons"]:
        times.setdefault(person["Person"]["Index"], []).append(person["Timestamp"])
        assert [one["Face"]["FaceId"] for one in person["FaceMatches"]] == (
            [face_id] if person["Person"]["Index"] == 0 else []
        )
        for match in person["FaceMatches"]:
            assert match["Similarity"] >= 80
            assert match["Face"]["ExternalImageId"] == "ada"
        box = person["Person"]["BoundingBox"]
        assert 0 < box["Width"] < 0.5
        assert person["Person"]["Face"]["Confidence"] > 90
    assert times == {0: [*range(0, 3000, 500), *range(6000, 8000, 500)], 1: [*range(4000, 8000, 500)]}
    stamps = [person["Timestamp"] for person in found["Persons"]]
    assert stamps == sorted(stamps)
    check_pages(client, job_id, found["Persons"])
    refused(lambda: stranger.client().get_face_search(JobId=job_id), "ResourceNotFoundException")
    refused(lambda: client.get_face_detection(JobId=job_id), "ResourceNotFoundException")
    client.delete_faces(CollectionId="people", FaceIds=[face_id])
    assert not any(one["FaceMatches"] for one in client.get_face_search(JobId=job_id)["Persons"])
    usage = owner.native.get("/usage").json()
    (counted,) = [one for one in usage["items"] if one["operation"] == "rekognition.StartFaceSearch"]
    assert (counted["calls"], counted["video_seconds"]) == (1, 8)
    assert owner.native.get("/videos").json()["items"] == []


def check_pages(client: Any, job_id: str, people: list[dict[str, Any]]) -> None:
    """Pages hold everything once, in either order."""
    for order in ("TIMESTAMP", "INDEX"):
        paged: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            more: dict[str, Any] = {"NextToken": token} if token else {}
            page = client.get_face_search(JobId=job_id, MaxResults=4, SortBy=order, **more)
            paged += page["Persons"]
            token = page.get("NextToken")
            if token is None:
                break
            assert len(token) <= 255
        key = [(one["Timestamp"], one["Person"]["Index"]) for one in people]
        if order == "INDEX":
            key.sort(key=lambda one: (one[1], one[0]))
        assert [(one["Timestamp"], one["Person"]["Index"]) for one in paged] == key
    first = client.get_face_search(JobId=job_id, MaxResults=4)["NextToken"]
    refused(
        lambda: client.get_face_search(JobId=job_id, NextToken=first, SortBy="INDEX"), "InvalidPaginationTokenException"
    )


def test_faces_are_detected_in_time(owner: Tenant) -> None:
    client = owner.client()
    job_id = client.start_face_detection(Video=video(), FaceAttributes="ALL")["JobId"]
    found = ended(client.get_face_detection, job_id)
    assert found["JobStatus"] == "SUCCEEDED", found
    stamps = [one["Timestamp"] for one in found["Faces"]]
    assert stamps == sorted([*range(0, 3000, 500), *range(4000, 8000, 500), *range(6000, 8000, 500)])
    assert all(one["Face"]["Confidence"] > 90 and one["Face"]["BoundingBox"]["Width"] > 0 for one in found["Faces"])
    page = client.get_face_detection(JobId=job_id, MaxResults=5)
    assert (len(page["Faces"]), "NextToken" in page) == (5, True)


def test_a_job_that_fails_says_why(owner: Tenant) -> None:
    client = owner.client()
    job_id = client.start_face_detection(Video=video("encrypted.mp4"))["JobId"]
    failed = ended(client.get_face_detection, job_id)
    assert (failed["JobStatus"], failed["Faces"]) == ("FAILED", [])
    assert failed["StatusMessage"].startswith("video_encrypted: ")
    client.create_collection(CollectionId="gone")
    job_id = client.start_face_search(Video=video(), CollectionId="gone")["JobId"]
    client.delete_collection(CollectionId="gone")
    failed = ended(client.get_face_search, job_id)
    assert failed["JobStatus"] == "FAILED"
    assert failed["StatusMessage"].startswith("collection_not_found: ")


def test_what_is_refused(owner: Tenant) -> None:
    client = owner.client()
    topic = {"SNSTopicArn": "arn:aws:sns:eu-west-1:123456789012:faces", "RoleArn": "arn:aws:iam::123456789012:role/x"}
    message = refused(
        lambda: client.start_face_detection(Video=video(), NotificationChannel=topic), "InvalidParameterException"
    )
    assert "Amazon SNS is not available" in message
    refused(lambda: client.start_face_detection(Video={}), "InvalidParameterException")
    refused(lambda: client.start_face_detection(Video=video("missing.mp4")), "InvalidS3ObjectException")
    refused(lambda: client.start_face_detection(Video=video("large.mp4")), "VideoTooLargeException")
    refused(lambda: client.start_face_search(Video=video(), CollectionId="nobodys"), "ResourceNotFoundException")
    for job_id in ("none", "00000000-0000-0000-0000-000000000000"):
        refused(lambda: client.get_face_search(JobId=job_id), "ResourceNotFoundException")  # noqa: B023


def test_only_some_jobs_wait(service_env: dict[str, str], films: str, owner: Tenant, tmp_path: Path) -> None:
    env = {**service_env, "VULTUS_OBJECT_STORE_ENDPOINTS": films, "VULTUS_MAX_WAITING_VIDEOS": "1"}
    with serving(**env) as (base, _), make_tenant(base) as made:
        body = {"endpoint": films, "access_key_id": "reader", "secret_access_key": "s3 secret"}
        made.native.put("/object-store", json=body).raise_for_status()
        client = made.client()
        waiting = [client.start_face_detection(Video=video("party.mp4"))["JobId"]]
        assert waiting
        codes = set()
        for _ in range(5):  # another test's worker may take the first one at once
            try:
                client.start_face_detection(Video=video("party.mp4"))
            except client.exceptions.LimitExceededException as exc:
                codes.add(exc.response["Error"]["Code"])
        assert codes == {"LimitExceededException"}
