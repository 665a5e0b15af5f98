"""`Confidence` says how probable it is that a detection is a face; the native API shows the detector's own score."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.rekognition.confidence import confidence
from tests import pictures
from tests.rekognition.conftest import Tenant

MEASURED = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "detection_confidence.json"


def test_it_is_what_was_measured() -> None:
    for score, percent in json.loads(MEASURED.read_text())["percent by score"].items():
        assert confidence(float(score)) == pytest.approx(percent, abs=0.05)


def test_it_keeps_every_order_and_stays_within_percent() -> None:
    percents = [confidence(score) for score in np.linspace(0, 1, 1001)]
    assert percents == sorted(percents)
    assert len(set(percents)) > 990
    assert 0 <= percents[0] < 0.01
    assert 99.99 < percents[-1] <= 100
    assert 0 <= confidence(-1) <= confidence(2) <= 100


def test_a_clear_face_is_above_the_bar_of_aws_samples_everywhere(rekognition: Any, collection: str) -> None:
    image = {"Bytes": pictures.photo(1)}
    indexed = rekognition.index_faces(CollectionId=collection, Image=image)["FaceRecords"][0]
    found = rekognition.search_faces_by_image(CollectionId=collection, Image=image)
    compared = rekognition.compare_faces(SourceImage=image, TargetImage=image)
    shown = [
        rekognition.detect_faces(Image=image)["FaceDetails"][0]["Confidence"],
        indexed["Face"]["Confidence"],
        indexed["FaceDetail"]["Confidence"],
        found["SearchedFaceConfidence"],
        found["FaceMatches"][0]["Face"]["Confidence"],
        compared["SourceImageFace"]["Confidence"],
        compared["FaceMatches"][0]["Face"]["Confidence"],
        rekognition.list_faces(CollectionId=collection)["Faces"][0]["Confidence"],
    ]
    assert all(96 < percent <= 100 for percent in shown)
    assert max(shown) - min(shown) < 0.01


def test_the_native_api_shows_the_score(tenant: Tenant, rekognition: Any) -> None:
    photo = pictures.photo(1)
    (face,) = tenant.native.post("/detect", files={"image": photo}).raise_for_status().json()["faces"]
    shown = rekognition.detect_faces(Image={"Bytes": photo})["FaceDetails"][0]["Confidence"]
    assert face["detection_score"] < 1
    assert shown == pytest.approx(confidence(face["detection_score"]), abs=0.1)
    assert abs(shown - 100 * face["detection_score"]) > 0.1
