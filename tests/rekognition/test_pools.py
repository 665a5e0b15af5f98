"""Faces of a pool leave it when they are given to a user, and come back when they are taken away."""

from typing import Any

from tests import pictures
from tests.rekognition.conftest import Index, Tenant


def test_faces_of_users_are_in_no_pool(rekognition: Any, index: Index, collection: str, tenant: Tenant) -> None:
    faces = [index(pictures.photo(1, take))[0] for take in range(3)]

    def pool() -> set[str]:
        answer = tenant.native.get(f"/collections/{collection}/sightings").raise_for_status()
        return {one["face_id"] for one in answer.json()["items"]}

    tenant.native.put(f"/collections/{collection}/pool", json={}).raise_for_status()
    assert pool() == set(faces)
    rekognition.create_user(CollectionId=collection, UserId="ada")
    rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=faces[:2])
    assert pool() == {faces[2]}
    rekognition.disassociate_faces(CollectionId=collection, UserId="ada", FaceIds=faces[:1])
    assert pool() == {faces[0], faces[2]}
    rekognition.delete_user(CollectionId=collection, UserId="ada")
    assert pool() == set(faces)
    rekognition.delete_faces(CollectionId=collection, FaceIds=faces)
    assert pool() == set()
