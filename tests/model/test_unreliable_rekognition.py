"""Faces of low quality through the Rekognition protocol: not indexed by default, and in no match."""

from tests.model.test_degraded_photos import altered_photos
from tests.model.test_real_pack import pytestmark
from tests.model.test_rekognition import real_tenant
from tests.rekognition.conftest import Tenant, service_env

__all__ = ["pytestmark", "real_tenant", "service_env"]


def test_a_negative_is_in_no_match(real_tenant: Tenant) -> None:
    client = real_tenant.client()
    client.create_collection(CollectionId="negatives")
    reasons = []
    for photo in altered_photos("negative")[:8]:
        image = {"Bytes": photo}
        refused = client.index_faces(CollectionId="negatives", Image=image, QualityFilter="AUTO")
        reasons += [reason for face in refused["UnindexedFaces"] for reason in face["Reasons"]]
        stored = client.index_faces(CollectionId="negatives", Image=image, QualityFilter="NONE")["FaceRecords"]
        if not stored or refused["FaceRecords"]:
            continue
        found = client.search_faces_by_image(CollectionId="negatives", Image=image, FaceMatchThreshold=0)
        assert found["FaceMatches"] == []
        found = client.search_faces(CollectionId="negatives", FaceId=stored[0]["Face"]["FaceId"], FaceMatchThreshold=0)
        assert found["FaceMatches"] == []
        compared = client.compare_faces(SourceImage=image, TargetImage=image, SimilarityThreshold=0)
        assert compared["FaceMatches"] == []
        assert len(compared["UnmatchedFaces"]) >= 1
    assert "LOW_FACE_QUALITY" in reasons
