"""The sizes of photos that AWS allows: 80 pixels a side at least, and 15 MB from S3."""

import io
from collections.abc import Callable
from typing import Any

import boto3
import numpy as np
import pytest
from PIL import Image

from app.ml.synthetic.portraits import Person, Placement, Variation, draw_group
from tests import pictures
from tests.rekognition.conftest import Tenant
from tests.rekognition.test_errors import refused
from tests.rekognition.test_object_stores import choose, image

SMALL = "Request has invalid parameters. {}: it has {} x {} pixels; each side must have at least 80."


def portrait(width: int, height: int) -> dict[str, bytes]:
    drawn = draw_group([(Person(1), Placement(width // 2, height // 2, 60), Variation())], (width, height))[0]
    return {"Bytes": pictures.encode(drawn, "PNG")}


@pytest.mark.parametrize("size", [(79, 200), (200, 79)])
def test_a_photo_with_a_side_below_80_pixels_is_refused_and_stores_nothing(
    rekognition: Any, tenant: Tenant, collection: str, size: tuple[int, int]
) -> None:
    small, large = portrait(*size), {"Bytes": pictures.photo(1)}
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("Image", lambda: rekognition.detect_faces(Image=small)),
        ("Image", lambda: rekognition.index_faces(CollectionId=collection, Image=small, QualityFilter="NONE")),
        ("Image", lambda: rekognition.search_faces_by_image(CollectionId=collection, Image=small)),
        ("Image", lambda: rekognition.search_users_by_image(CollectionId=collection, Image=small)),
        ("SourceImage", lambda: rekognition.compare_faces(SourceImage=small, TargetImage=large)),
        ("TargetImage", lambda: rekognition.compare_faces(SourceImage=large, TargetImage=small)),
    ]
    for member, call in calls:
        assert refused(call, "InvalidParameterException") == SMALL.format(member, *size)
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 0
    native = tenant.native.post("/detect", files={"image": small["Bytes"]})
    assert len(native.raise_for_status().json()["faces"]) == 1


def test_a_photo_of_80_pixels_is_taken(rekognition: Any) -> None:
    assert len(rekognition.detect_faces(Image=portrait(80, 80))["FaceDetails"]) == 1


def test_a_photo_of_15_mb_comes_from_s3_but_not_as_bytes(strict_tenant: Tenant, bucket: str) -> None:
    noise = np.random.default_rng(1).integers(256, size=(1990, 1990, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    picture.paste(pictures.portrait(1, side=1200), (300, 300))
    buffer = io.BytesIO()
    picture.save(buffer, "BMP")
    large = buffer.getvalue()
    assert 11_000_000 < len(large) <= 15_000_000
    s3 = boto3.client(
        "s3", endpoint_url=bucket, region_name="us-east-1", aws_access_key_id="reader", aws_secret_access_key="x"
    )
    s3.put_object(Bucket="photos", Key="huge.bmp", Body=large)
    s3.close()
    choose(strict_tenant, bucket).raise_for_status()
    client = strict_tenant.client()
    assert client.detect_faces(Image=image("huge.bmp"))["FaceDetails"]
    message = refused(lambda: client.detect_faces(Image={"Bytes": large}), "ImageTooLargeException")
    assert message.startswith("Image size is too large. ")
