"""Photos indexed through boto3 and photos registered natively are found alike, by a selfie, through both."""

from typing import Any

import pytest

from tests import pictures
from tests.rekognition.conftest import Tenant

PHOTOS = {"a.jpg": (1, 2, 3), "b.jpg": (1, 4), "c.jpg": (5, 6), "d.jpg": (2, 1), "e.jpg": (3, 4), "f.jpg": (5, 1)}


@pytest.mark.parametrize("take", [0, 1])
def test_both_interfaces_find_the_same_photos_by_a_selfie(
    tenant: Tenant, rekognition: Any, collection: str, take: int
) -> None:
    for index, (name, people) in enumerate(PHOTOS.items()):
        photo = pictures.group(*people)
        if index % 2:
            rekognition.index_faces(CollectionId=collection, Image={"Bytes": photo}, ExternalImageId=name)
        else:
            fields = {"collection": collection, "external_image_id": name}
            tenant.native.post("/register/all", data=fields, files={"image": photo}).raise_for_status()
    selfie = pictures.photo(1, take)
    found = rekognition.search_faces_by_image(CollectionId=collection, Image={"Bytes": selfie})
    over_boto3 = {match["Face"]["FaceId"]: match["Face"] for match in found["FaceMatches"]}
    answer = tenant.native.post(
        "/recognize", data={"collection": collection, "limit": "20"}, files={"image": selfie}
    ).raise_for_status()
    (face,) = answer.json()["faces"]
    natively = {one["face_id"]: one for one in face["candidates"] if one["decision"] == "match"}
    assert {one["external_image_id"] for one in natively.values()} == {"a.jpg", "b.jpg", "d.jpg", "f.jpg"}
    assert natively.keys() == over_boto3.keys()
    for face_id, one in natively.items():
        other = over_boto3[face_id]
        assert (one["external_image_id"], one["image_id"]) == (other["ExternalImageId"], other["ImageId"])
        box = {name.capitalize(): side for name, side in one["bounding_box"].items()}
        assert box == pytest.approx(other["BoundingBox"], abs=1e-6)
