"""Faces: detected, indexed, listed, deleted, through boto3."""

import concurrent.futures
import re
from typing import Any

import pytest

from tests import pictures
from tests.rekognition.conftest import Index, Tenant

UUID_SHAPE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def test_detection_tells_what_the_models_know_and_nothing_else(rekognition: Any) -> None:
    (face,) = rekognition.detect_faces(Image={"Bytes": pictures.photo(1)}, Attributes=["ALL"])["FaceDetails"]
    assert set(face) == {"BoundingBox", "Landmarks", "Pose", "Quality", "Confidence"}
    box = face["BoundingBox"]
    assert 0.2 < box["Left"] < 0.4
    assert 0.3 < box["Width"] < 0.7
    points = {point["Type"]: point for point in face["Landmarks"]}
    assert points["eyeLeft"]["X"] < points["nose"]["X"] < points["eyeRight"]["X"]
    assert points["eyeLeft"]["Y"] < points["nose"]["Y"] < points["mouthLeft"]["Y"]
    assert 0 < face["Quality"]["Brightness"] <= 100
    assert 0 < face["Quality"]["Sharpness"] <= 100
    assert 99 < face["Confidence"] <= 100
    assert abs(face["Pose"]["Roll"]) < 10


def test_detection_finds_everybody_largest_first_or_nobody(rekognition: Any) -> None:
    faces = rekognition.detect_faces(Image={"Bytes": pictures.group(1, 2, 3)})["FaceDetails"]
    areas = [face["BoundingBox"]["Width"] * face["BoundingBox"]["Height"] for face in faces]
    assert len(faces) == 3
    assert areas == sorted(areas, reverse=True)
    assert rekognition.detect_faces(Image={"Bytes": pictures.landscape()})["FaceDetails"] == []


def test_every_face_of_a_photo_is_indexed_under_one_image_id(rekognition: Any, collection: str) -> None:
    done = rekognition.index_faces(
        CollectionId=collection, Image={"Bytes": pictures.group(1, 2, 3)}, ExternalImageId="party:2026"
    )
    faces = [record["Face"] for record in done["FaceRecords"]]
    assert len({face["FaceId"] for face in faces}) == 3
    assert len({face["ImageId"] for face in faces}) == 1
    assert {face["ExternalImageId"] for face in faces} == {"party:2026"}
    assert all(UUID_SHAPE.fullmatch(face["FaceId"]) for face in faces)
    assert re.fullmatch(r"[0-9.]+", done["FaceModelVersion"])
    assert done["UnindexedFaces"] == []
    for record in done["FaceRecords"]:
        assert record["FaceDetail"]["BoundingBox"] == pytest.approx(record["Face"]["BoundingBox"])
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 3
    listed = rekognition.list_faces(CollectionId=collection)["Faces"]
    assert {face["FaceId"] for face in listed} == {face["FaceId"] for face in faces}
    assert {face["IndexFacesModelVersion"] for face in listed} == {done["FaceModelVersion"]}
    assert all("UserId" not in face for face in listed)


def test_the_same_photo_is_not_indexed_twice(rekognition: Any, collection: str) -> None:
    photo = pictures.group(1, 2)

    def index(**more: Any) -> set[str]:
        answer = rekognition.index_faces(CollectionId=collection, Image={"Bytes": photo}, **more)
        return {record["Face"]["FaceId"] for record in answer["FaceRecords"]}

    one = index(ExternalImageId="a", MaxFaces=1)
    both = index(ExternalImageId="a")
    assert one < both
    assert index(ExternalImageId="a") == both
    assert not index(ExternalImageId="b") & both
    assert not index() & both
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 6
    images = {face["ImageId"] for face in rekognition.list_faces(CollectionId=collection)["Faces"]}
    assert len(images) == 3
    rekognition.delete_faces(CollectionId=collection, FaceIds=list(both))
    assert not index(ExternalImageId="a") & both


def test_the_same_photo_is_not_indexed_twice_at_the_same_time(tenant: Tenant, collection: str) -> None:
    def index(_: int) -> str:
        answer = tenant.client().index_faces(
            CollectionId=collection, Image={"Bytes": pictures.photo(4)}, ExternalImageId="x"
        )
        return str(answer["FaceRecords"][0]["Face"]["FaceId"])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(index, range(8)))) == 1
    assert tenant.client().describe_collection(CollectionId=collection)["FaceCount"] == 1


def test_faces_beyond_the_most_are_named(rekognition: Any, collection: str) -> None:
    done = rekognition.index_faces(CollectionId=collection, Image={"Bytes": pictures.group(1, 2, 3)}, MaxFaces=2)
    assert len(done["FaceRecords"]) == 2
    (left,) = done["UnindexedFaces"]
    assert left["Reasons"] == ["EXCEEDS_MAX_FACES"]
    assert left["FaceDetail"]["BoundingBox"]["Width"] > 0


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (pictures.blurred(1), "LOW_SHARPNESS"),
        (pictures.dark(1), "LOW_BRIGHTNESS"),
        (pictures.small(1), "SMALL_BOUNDING_BOX"),
    ],
)
def test_poor_faces_are_left_out_with_the_reason_unless_any_is_wanted(
    rekognition: Any, collection: str, photo: bytes, reason: str
) -> None:
    done = rekognition.index_faces(CollectionId=collection, Image={"Bytes": photo})
    assert done["FaceRecords"] == []
    assert [face["Reasons"] for face in done["UnindexedFaces"]] == [[reason]]
    taken = rekognition.index_faces(CollectionId=collection, Image={"Bytes": photo}, QualityFilter="NONE")
    assert len(taken["FaceRecords"]) == 1
    assert taken["UnindexedFaces"] == []


def test_a_higher_bar_lets_fewer_through(rekognition: Any, collection: str) -> None:
    stored = [
        len(
            rekognition.index_faces(
                CollectionId=collection, Image={"Bytes": pictures.photo(5)}, QualityFilter=bar, ExternalImageId=bar
            )["FaceRecords"]
        )
        for bar in ("NONE", "LOW", "AUTO", "MEDIUM", "HIGH")
    ]
    assert stored == sorted(stored, reverse=True)
    assert stored[0] == 1


def test_a_photo_without_faces_is_indexed_as_nothing(rekognition: Any, collection: str) -> None:
    done = rekognition.index_faces(CollectionId=collection, Image={"Bytes": pictures.landscape()})
    assert (done["FaceRecords"], done["UnindexedFaces"]) == ([], [])
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException, match="nowhere"):
        rekognition.index_faces(CollectionId="nowhere", Image={"Bytes": pictures.landscape()})


def test_the_paginator_walks_over_all_faces(rekognition: Any, index: Index, collection: str) -> None:
    ids = [one for seed in (1, 2, 3) for one in index(pictures.group(seed, seed + 10))]
    pages = list(
        rekognition.get_paginator("list_faces").paginate(CollectionId=collection, PaginationConfig={"PageSize": 4})
    )
    assert [len(page["Faces"]) for page in pages] == [4, 2]
    assert len(pages[0]["NextToken"]) <= 255
    assert {face["FaceId"] for page in pages for face in page["Faces"]} == set(ids)
    some = rekognition.list_faces(
        CollectionId=collection, FaceIds=[ids[1], ids[4], "0" * 8 + "-0000-0000-0000-" + "0" * 12]
    )
    assert {face["FaceId"] for face in some["Faces"]} == {ids[1], ids[4]}


def test_deleted_faces_are_gone_at_once_and_missing_ones_are_named(
    rekognition: Any, index: Index, collection: str, tenant: Tenant
) -> None:
    (one,), (other,) = index(pictures.photo(1)), index(pictures.photo(2))
    missing = other.replace(other[0], "0" if other[0] != "0" else "1", 1)
    done = rekognition.delete_faces(CollectionId=collection, FaceIds=[one, one, missing])
    assert done["DeletedFaces"] == [one]
    assert done["UnsuccessfulFaceDeletions"] == [{"FaceId": missing, "Reasons": ["FACE_NOT_FOUND"]}]
    assert [face["FaceId"] for face in rekognition.list_faces(CollectionId=collection)["Faces"]] == [other]
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 1
    subjects = tenant.native.get(f"/collections/{collection}/subjects").json()["items"]
    assert [subject["subject"] for subject in subjects] == [f"face@{other}"]


def test_another_tenant_sees_nothing_of_it(index: Index, stranger: Tenant, collection: str) -> None:
    (face,) = index(pictures.photo(1))
    client = stranger.client()
    client.create_collection(CollectionId=collection)
    assert client.list_faces(CollectionId=collection, FaceIds=[face])["Faces"] == []
    reasons = client.delete_faces(CollectionId=collection, FaceIds=[face])["UnsuccessfulFaceDeletions"]
    assert [entry["Reasons"] for entry in reasons] == [["FACE_NOT_FOUND"]]
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.search_faces(CollectionId=collection, FaceId=face)
    found = client.search_faces_by_image(
        CollectionId=collection, Image={"Bytes": pictures.photo(1)}, FaceMatchThreshold=0
    )
    assert found["FaceMatches"] == []


def test_an_indexed_face_is_a_subject_of_the_native_api(tenant: Tenant, index: Index, collection: str) -> None:
    (face,) = index(pictures.photo(1))
    files = {"image": ("photo.jpg", pictures.photo(1, 2), "image/jpeg")}
    answer = tenant.native.post("/recognize", data={"collection": collection}, files=files).raise_for_status().json()
    best = answer["faces"][0]["candidates"][0]
    assert (best["subject"], best["decision"]) == (f"face@{face}", "match")
    erased = tenant.native.delete(f"/collections/{collection}/subjects/face@{face}/faces/{face}")
    assert erased.status_code == 204
    assert tenant.native.get(f"/collections/{collection}").json()["subjects"] == 0


def test_a_face_registered_natively_is_a_users(tenant: Tenant, rekognition: Any, collection: str) -> None:
    files = [("images", ("1.jpg", pictures.photo(1), "image/jpeg"))]
    data = {"subject": "ada@example.com", "collection": collection}
    registered = tenant.native.post("/register", data=data, files=files).raise_for_status().json()
    (face,) = rekognition.list_faces(CollectionId=collection)["Faces"]
    assert face["FaceId"] == registered["templates"][0]["face_id"]
    assert face["UserId"] == "ada@example.com"
    assert 0.3 < face["BoundingBox"]["Width"] < 0.7
    assert UUID_SHAPE.fullmatch(face["ImageId"])
    assert rekognition.list_faces(CollectionId=collection, UserId="ada@example.com")["Faces"] == [face]
    found = rekognition.search_faces_by_image(CollectionId=collection, Image={"Bytes": pictures.photo(1, 2)})
    assert found["FaceMatches"][0]["Face"]["UserId"] == "ada@example.com"


def test_nobody_is_indexed_where_consent_is_demanded(tenant: Tenant, rekognition: Any, collection: str) -> None:
    tenant.native.put("/policy", json={"consent_required": True}).raise_for_status()
    with pytest.raises(rekognition.exceptions.AccessDeniedException, match="consent"):
        rekognition.index_faces(CollectionId=collection, Image={"Bytes": pictures.photo(1)})
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 0


def test_what_is_done_is_written_down_and_counted(
    tenant: Tenant, rekognition: Any, index: Index, collection: str
) -> None:
    (face,) = index(pictures.photo(1))
    rekognition.search_faces(CollectionId=collection, FaceId=face)
    rekognition.delete_faces(CollectionId=collection, FaceIds=[face])
    rekognition.delete_collection(CollectionId=collection)
    entries = tenant.native.get("/audit").json()["items"]
    actions = [entry["action"] for entry in entries[:4]]
    assert actions == ["collection.erased", "face.erased", "faces.registered", "collection.created"]
    assert all(entry["actor"].startswith("key:") for entry in entries[:4])
    usage = {(row["operation"], row["calls"], row["images"]) for row in tenant.native.get("/usage").json()["items"]}
    assert usage >= {("rekognition.IndexFaces", 1, 1), ("rekognition.SearchFaces", 1, 0)}
