"""Searching and comparing faces, through boto3."""

from typing import Any

import pytest

from tests import pictures
from tests.rekognition.conftest import Index


def test_a_photo_finds_the_persons_faces_first(rekognition: Any, index: Index, collection: str) -> None:
    people = {seed: index(pictures.photo(seed), ExternalImageId=f"person-{seed}")[0] for seed in range(1, 7)}
    (second,) = index(pictures.photo(3, 1), ExternalImageId="person-3")
    found = rekognition.search_faces_by_image(CollectionId=collection, Image={"Bytes": pictures.photo(3, 2)})
    matches = found["FaceMatches"]
    assert {match["Face"]["FaceId"] for match in matches[:2]} == {people[3], second}
    assert {match["Face"]["ExternalImageId"] for match in matches[:2]} == {"person-3"}
    similarities = [match["Similarity"] for match in matches]
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[0] > 95
    assert all(similarity >= 80 for similarity in similarities)
    assert found["SearchedFaceConfidence"] > 90
    assert 0.2 < found["SearchedFaceBoundingBox"]["Width"] < 0.8


def test_the_threshold_and_the_number_of_faces_cut(rekognition: Any, index: Index, collection: str) -> None:
    for seed in range(1, 6):
        index(pictures.photo(seed))
    probe = {"CollectionId": collection, "Image": {"Bytes": pictures.photo(1, 1)}}
    everybody = rekognition.search_faces_by_image(**probe, FaceMatchThreshold=0)["FaceMatches"]
    assert len(everybody) == 5
    assert everybody[1]["Similarity"] < 80
    assert len(rekognition.search_faces_by_image(**probe)["FaceMatches"]) == 1
    assert rekognition.search_faces_by_image(**probe, FaceMatchThreshold=0, MaxFaces=2)["FaceMatches"] == everybody[:2]
    at_the_second = everybody[1]["Similarity"]
    cut = rekognition.search_faces_by_image(**probe, FaceMatchThreshold=at_the_second - 0.01)["FaceMatches"]
    assert cut == everybody[:2]


def test_a_face_finds_others_and_not_itself(rekognition: Any, index: Index, collection: str) -> None:
    (first,), (second,), _ = index(pictures.photo(1)), index(pictures.photo(1, 1)), index(pictures.photo(2))
    found = rekognition.search_faces(CollectionId=collection, FaceId=first)
    assert found["SearchedFaceId"] == first
    assert [match["Face"]["FaceId"] for match in found["FaceMatches"]] == [second]
    twice = index(pictures.photo(1), ExternalImageId="again")
    again = rekognition.search_faces(CollectionId=collection, FaceId=first)["FaceMatches"]
    assert again[0]["Face"]["FaceId"] == twice[0]
    assert again[0]["Similarity"] > 99.9


def test_only_the_largest_face_is_searched(rekognition: Any, index: Index, collection: str) -> None:
    from app.ml.synthetic.portraits import Person, Placement, Variation, draw_group

    placed = [(Person(7), Placement(120, 180, 60), Variation()), (Person(8), Placement(360, 180, 150), Variation())]
    photo = pictures.encode(draw_group(placed, (560, 380))[0])
    large, small = index(pictures.photo(8))[0], index(pictures.photo(7))[0]
    found = rekognition.search_faces_by_image(CollectionId=collection, Image={"Bytes": photo})["FaceMatches"]
    assert [match["Face"]["FaceId"] for match in found] == [large]
    assert small != large


def test_a_search_sees_what_was_written_just_before(rekognition: Any, index: Index, collection: str) -> None:
    probe = {"CollectionId": collection, "Image": {"Bytes": pictures.photo(1, 1)}}
    for _ in range(3):
        (face,) = index(pictures.photo(1))
        found = rekognition.search_faces_by_image(**probe)["FaceMatches"]
        assert [match["Face"]["FaceId"] for match in found] == [face]
        rekognition.delete_faces(CollectionId=collection, FaceIds=[face])
        assert rekognition.search_faces_by_image(**probe)["FaceMatches"] == []


def test_comparing_tells_the_matching_face_from_the_others(rekognition: Any) -> None:
    images = {"SourceImage": {"Bytes": pictures.photo(2, 1)}, "TargetImage": {"Bytes": pictures.group(1, 2, 3)}}
    compared = rekognition.compare_faces(**images)
    (match,) = compared["FaceMatches"]
    assert match["Similarity"] >= 80
    assert len(compared["UnmatchedFaces"]) == 2
    middle = match["Face"]["BoundingBox"]["Left"]
    assert sorted([middle, *(face["BoundingBox"]["Left"] for face in compared["UnmatchedFaces"])])[1] == middle
    assert compared["SourceImageFace"]["Confidence"] > 90
    everybody = rekognition.compare_faces(**images, SimilarityThreshold=0)
    assert len(everybody["FaceMatches"]) == 3
    assert everybody["UnmatchedFaces"] == []
    similarities = [one["Similarity"] for one in everybody["FaceMatches"]]
    assert similarities == sorted(similarities, reverse=True)


def test_a_photo_compared_with_itself_is_next_to_identical(rekognition: Any) -> None:
    photo = {"Bytes": pictures.photo(1)}
    compared = rekognition.compare_faces(SourceImage=photo, TargetImage=photo, SimilarityThreshold=100)
    assert [match["Similarity"] for match in compared["FaceMatches"]] == [100.0]


def test_a_quality_filter_keeps_poor_faces_out_of_a_comparison(rekognition: Any) -> None:
    blurred = {"Bytes": pictures.blurred(1)}
    images = {"SourceImage": {"Bytes": pictures.photo(1)}, "TargetImage": blurred, "SimilarityThreshold": 0}
    assert len(rekognition.compare_faces(**images)["FaceMatches"]) == 1
    filtered = rekognition.compare_faces(**images, QualityFilter="AUTO")
    assert (filtered["FaceMatches"], filtered["UnmatchedFaces"]) == ([], [])
    with pytest.raises(rekognition.exceptions.InvalidParameterException, match="sharpness"):
        rekognition.compare_faces(SourceImage=blurred, TargetImage=blurred, QualityFilter="AUTO")
