"""Users: made, given faces, searched, taken apart, through boto3."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests import pictures
from tests.rekognition.conftest import Index, Tenant


def users(rekognition: Any, collection: str) -> dict[str, str]:
    listed = rekognition.list_users(CollectionId=collection)["Users"]
    return {user["UserId"]: user["UserStatus"] for user in listed}


def test_a_users_life(rekognition: Any, index: Index, collection: str) -> None:
    faces = [index(pictures.photo(1, take))[0] for take in range(3)]
    rekognition.create_user(CollectionId=collection, UserId="ada:1")
    assert users(rekognition, collection) == {"ada:1": "CREATED"}
    assert rekognition.describe_collection(CollectionId=collection)["UserCount"] == 1
    given = rekognition.associate_faces(CollectionId=collection, UserId="ada:1", FaceIds=faces[:2])
    assert [face["FaceId"] for face in given["AssociatedFaces"]] == faces[:2]
    assert given["UnsuccessfulFaceAssociations"] == []
    assert users(rekognition, collection) == {"ada:1": "ACTIVE"}
    listed = rekognition.list_faces(CollectionId=collection, UserId="ada:1")["Faces"]
    assert {face["FaceId"] for face in listed} == set(faces[:2])
    found = rekognition.search_faces(CollectionId=collection, FaceId=faces[2])["FaceMatches"]
    assert {match["Face"]["UserId"] for match in found} == {"ada:1"}
    refused = rekognition.delete_faces(CollectionId=collection, FaceIds=faces)
    assert refused["DeletedFaces"] == faces[2:]
    assert {
        (entry["FaceId"], entry["UserId"], *entry["Reasons"]) for entry in refused["UnsuccessfulFaceDeletions"]
    } == {(face, "ada:1", "ASSOCIATED_TO_AN_EXISTING_USER") for face in faces[:2]}
    taken = rekognition.disassociate_faces(CollectionId=collection, UserId="ada:1", FaceIds=[faces[0]])
    assert [face["FaceId"] for face in taken["DisassociatedFaces"]] == faces[:1]
    assert taken["UserStatus"] == "ACTIVE"
    rekognition.delete_user(CollectionId=collection, UserId="ada:1")
    assert users(rekognition, collection) == {}
    left = rekognition.list_faces(CollectionId=collection)["Faces"]
    assert {face["FaceId"] for face in left} == set(faces[:2])
    assert all("UserId" not in face for face in left)
    assert rekognition.delete_faces(CollectionId=collection, FaceIds=faces[:2])["DeletedFaces"] == faces[:2]


def test_faces_are_found_whoever_they_are_given_to(rekognition: Any, index: Index, collection: str) -> None:
    (face,), (other,) = index(pictures.photo(1)), index(pictures.photo(2))
    probe = {"CollectionId": collection, "Image": {"Bytes": pictures.photo(1, 1)}}

    def found() -> list[tuple[str, str | None]]:
        matches = rekognition.search_faces_by_image(**probe)["FaceMatches"]
        return [(match["Face"]["FaceId"], match["Face"].get("UserId")) for match in matches]

    rekognition.create_user(CollectionId=collection, UserId="ada")
    assert found() == [(face, None)]
    rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=[face])
    assert found() == [(face, "ada")]
    rekognition.disassociate_faces(CollectionId=collection, UserId="ada", FaceIds=[face])
    assert found() == [(face, None)]
    assert rekognition.describe_collection(CollectionId=collection)["FaceCount"] == 2
    assert other


def test_who_is_unlike_the_user_is_not_associated(rekognition: Any, index: Index, collection: str) -> None:
    ada = [index(pictures.photo(1, take))[0] for take in range(3)]
    (stranger,) = index(pictures.photo(2))
    rekognition.create_user(CollectionId=collection, UserId="ada")
    # The stranger is found out although nobody was there before, and stands first.
    done = rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=[stranger, *ada])
    assert {face["FaceId"] for face in done["AssociatedFaces"]} == set(ada)
    (refused,) = done["UnsuccessfulFaceAssociations"]
    assert (refused["FaceId"], refused["Reasons"]) == (stranger, ["LOW_MATCH_CONFIDENCE"])
    assert refused["Confidence"] < 75
    forced = rekognition.associate_faces(
        CollectionId=collection, UserId="ada", FaceIds=[stranger], UserMatchThreshold=0
    )
    assert [face["FaceId"] for face in forced["AssociatedFaces"]] == [stranger]


def test_faces_of_others_missing_ones_and_ones_own_are_told_apart(
    rekognition: Any, index: Index, collection: str
) -> None:
    (ada,), (bob,) = index(pictures.photo(1)), index(pictures.photo(2))
    missing = str(uuid.uuid4())
    for user, face in (("ada", ada), ("bob", bob)):
        rekognition.create_user(CollectionId=collection, UserId=user)
        rekognition.associate_faces(CollectionId=collection, UserId=user, FaceIds=[face])
    done = rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=[ada, bob, missing])
    assert done["AssociatedFaces"] == []
    assert done["UnsuccessfulFaceAssociations"] == [
        {"FaceId": bob, "UserId": "bob", "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]},
        {"FaceId": missing, "Reasons": ["FACE_NOT_FOUND"]},
    ]
    taken = rekognition.disassociate_faces(CollectionId=collection, UserId="ada", FaceIds=[ada, bob, missing])
    assert [face["FaceId"] for face in taken["DisassociatedFaces"]] == [ada]
    assert taken["UserStatus"] == "CREATED"
    assert taken["UnsuccessfulFaceDisassociations"] == [
        {"FaceId": bob, "UserId": "bob", "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]},
        {"FaceId": missing, "Reasons": ["FACE_NOT_FOUND"]},
    ]


def test_users_are_searched_by_face_by_user_and_by_photo(rekognition: Any, index: Index, collection: str) -> None:
    for user, seed in (("ada", 1), ("adas-twin", 1), ("bob", 2)):
        rekognition.create_user(CollectionId=collection, UserId=user)
        ids = [index(pictures.photo(seed, take), ExternalImageId=user)[0] for take in range(2)]
        rekognition.associate_faces(CollectionId=collection, UserId=user, FaceIds=ids)
    (lone,) = index(pictures.photo(1, 3))

    def names(answer: Any) -> list[str]:
        assert all(match["User"]["UserStatus"] == "ACTIVE" for match in answer["UserMatches"])
        return [match["User"]["UserId"] for match in answer["UserMatches"]]

    by_face = rekognition.search_users(CollectionId=collection, FaceId=lone)
    assert sorted(names(by_face)) == ["ada", "adas-twin"]
    assert by_face["SearchedFace"] == {"FaceId": lone}
    by_user = rekognition.search_users(CollectionId=collection, UserId="ada")
    assert names(by_user) == ["adas-twin"]
    assert by_user["SearchedUser"] == {"UserId": "ada"}
    assert by_user["UserMatches"][0]["Similarity"] > 99
    photo = pictures.photo(2, 3)
    by_photo = rekognition.search_users_by_image(CollectionId=collection, Image={"Bytes": photo}, MaxUsers=1)
    assert names(by_photo) == ["bob"]
    assert by_photo["SearchedFace"]["FaceDetail"]["Confidence"] > 90
    assert by_photo["UnsearchedFaces"] == []
    for wrong in ({}, {"FaceId": lone, "UserId": "ada"}):
        with pytest.raises(rekognition.exceptions.InvalidParameterException, match="exactly one"):
            rekognition.search_users(CollectionId=collection, **wrong)


def test_faces_of_a_photo_that_are_not_searched_say_why(rekognition: Any, collection: str) -> None:
    nobody = rekognition.search_users_by_image(CollectionId=collection, Image={"Bytes": pictures.landscape()})
    assert nobody["UserMatches"] == []
    assert "SearchedFace" not in nobody
    several = rekognition.search_users_by_image(CollectionId=collection, Image={"Bytes": pictures.group(1, 2, 3)})
    assert [face["Reasons"] for face in several["UnsearchedFaces"]] == [["FACE_NOT_LARGEST"]] * 2
    blurred = rekognition.search_users_by_image(
        CollectionId=collection, Image={"Bytes": pictures.blurred(1)}, QualityFilter="AUTO"
    )
    assert "SearchedFace" not in blurred
    assert [face["Reasons"] for face in blurred["UnsearchedFaces"]] == [["LOW_SHARPNESS"]]


def test_one_bad_photo_does_not_spoil_a_user(rekognition: Any, index: Index, collection: str) -> None:
    rekognition.create_user(CollectionId=collection, UserId="ada")
    for take in range(4):
        (face,) = index(pictures.photo(1, take))
        rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=[face])
    (spoilt,) = index(pictures.photo(2))
    rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=[spoilt], UserMatchThreshold=0)
    image = {"Bytes": pictures.photo(1, 9)}
    (own,) = rekognition.search_users_by_image(CollectionId=collection, Image=image)["UserMatches"]
    assert own["Similarity"] > 90
    other = {"Bytes": pictures.photo(2, 9)}
    assert rekognition.search_users_by_image(CollectionId=collection, Image=other)["UserMatches"] == []
    faces = rekognition.search_faces_by_image(CollectionId=collection, Image=other)["FaceMatches"]
    assert [match["Face"]["FaceId"] for match in faces] == [spoilt]


def test_a_request_token_has_one_effect_and_one_answer(rekognition: Any, index: Index, collection: str) -> None:
    token = uuid.uuid4().hex
    for _ in range(2):
        rekognition.create_user(CollectionId=collection, UserId="ada", ClientRequestToken=token)
    with pytest.raises(rekognition.exceptions.IdempotentParameterMismatchException):
        rekognition.create_user(CollectionId=collection, UserId="bob", ClientRequestToken=token)
    with pytest.raises(rekognition.exceptions.ConflictException, match="ada"):
        rekognition.create_user(CollectionId=collection, UserId="ada")
    (face,) = index(pictures.photo(1))
    give = {"CollectionId": collection, "UserId": "ada", "FaceIds": [face], "ClientRequestToken": token}
    first, again = (rekognition.associate_faces(**give)["AssociatedFaces"] for _ in range(2))
    assert first == again == [{"FaceId": face}]
    for _ in range(2):
        rekognition.delete_user(CollectionId=collection, UserId="ada", ClientRequestToken=token)
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException):
        rekognition.delete_user(CollectionId=collection, UserId="ada")


def test_the_paginator_walks_over_all_users(rekognition: Any, collection: str) -> None:
    names = [*(f"{'u' * 120}:{number}" for number in range(3)), *(f"{'Ж' * 120}{number}" for number in range(2))]
    for name in names:
        rekognition.create_user(CollectionId=collection, UserId=name)
    pages = list(
        rekognition.get_paginator("list_users").paginate(CollectionId=collection, PaginationConfig={"PageSize": 2})
    )
    assert [len(page["Users"]) for page in pages] == [2, 2, 1]
    assert all(len(page.get("NextToken", "")) <= 255 for page in pages)
    assert sorted(user["UserId"] for page in pages for user in page["Users"]) == sorted(names)


def test_a_hundred_faces_are_the_most_of_one_user(rekognition: Any, tenant: Tenant, collection: str) -> None:
    photo = pictures.group(1)
    ids = [
        rekognition.index_faces(
            CollectionId=collection, Image={"Bytes": photo}, ExternalImageId=f"{number}", QualityFilter="NONE"
        )["FaceRecords"][0]["Face"]["FaceId"]
        for number in range(101)
    ]
    rekognition.create_user(CollectionId=collection, UserId="ada")
    rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=ids[:100])
    with pytest.raises(rekognition.exceptions.ServiceQuotaExceededException, match="100"):
        rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=ids[100:])
    native = tenant.native.get(f"/collections/{collection}/subjects/ada").json()
    assert native["templates"] == 100


def test_users_and_subjects_are_the_same_people(
    tenant: Tenant, rekognition: Any, index: Index, collection: str
) -> None:
    (face,) = index(pictures.photo(1))
    rekognition.create_user(CollectionId=collection, UserId="ada")
    rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=[face])
    files = {"image": ("photo.jpg", pictures.photo(1, 2), "image/jpeg")}
    answer = tenant.native.post("/verify", data={"collection": collection, "subject": "ada"}, files=files).json()
    assert answer["decision"] == "match"
    tenant.native.delete(f"/collections/{collection}/subjects/ada").raise_for_status()
    assert users(rekognition, collection) == {}
    assert rekognition.list_faces(CollectionId=collection)["Faces"] == []
    tenant.native.post(f"/collections/{collection}/subjects", json={"subject": "carol"}).raise_for_status()
    assert users(rekognition, collection) == {"carol": "CREATED"}


def test_consent_goes_with_the_faces(tenant: Tenant, rekognition: Any, index: Index, collection: str) -> None:
    (face,) = index(pictures.photo(1))
    subject = f"/collections/{collection}/subjects"
    tenant.native.post(subject, json={"subject": "ada", "consent": "form 7"}).raise_for_status()
    tenant.native.post(subject, json={"subject": "bob"}).raise_for_status()
    tenant.native.put("/policy", json={"consent_required": True}).raise_for_status()
    with pytest.raises(rekognition.exceptions.AccessDeniedException, match="consent"):
        rekognition.associate_faces(CollectionId=collection, UserId="bob", FaceIds=[face])
    rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=[face])
    rekognition.disassociate_faces(CollectionId=collection, UserId="ada", FaceIds=[face])
    alone = tenant.native.get(f"{subject}/face@{face}").json()
    assert alone["consent"]["reference"] == "form 7"
    rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=[face])
    tenant.native.delete(f"{subject}/ada/consent").raise_for_status()
    assert rekognition.list_faces(CollectionId=collection)["Faces"] == []


def test_consent_that_is_demanded_later_keeps_no_name_on_a_face(
    tenant: Tenant, rekognition: Any, index: Index, collection: str
) -> None:
    (face,) = index(pictures.photo(1))
    rekognition.create_user(CollectionId=collection, UserId="ada")
    rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=[face])
    tenant.native.put("/policy", json={"consent_required": True}).raise_for_status()
    taken = rekognition.disassociate_faces(CollectionId=collection, UserId="ada", FaceIds=[face])
    assert [one["FaceId"] for one in taken["DisassociatedFaces"]] == [face]


def test_who_may_not_delete_gives_no_face_an_earlier_end(
    tenant: Tenant, rekognition: Any, index: Index, collection: str
) -> None:
    (face,) = index(pictures.photo(1))
    soon = {"subject": "short", "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    tenant.native.post(f"/collections/{collection}/subjects", json=soon).raise_for_status()
    key, secret = tenant.access_key("register")
    limited = tenant.client(aws_access_key_id=key, aws_secret_access_key=secret)
    give = {"CollectionId": collection, "UserId": "short", "FaceIds": [face], "UserMatchThreshold": 0}
    with pytest.raises(limited.exceptions.AccessDeniedException, match="expires_at"):
        limited.associate_faces(**give)
    assert rekognition.associate_faces(**give)["AssociatedFaces"]


def test_how_alike_faces_are_is_told_to_who_may_recognize(
    tenant: Tenant, rekognition: Any, index: Index, collection: str
) -> None:
    (ada,), (bob,) = index(pictures.photo(1)), index(pictures.photo(2))
    rekognition.create_user(CollectionId=collection, UserId="ada")
    rekognition.associate_faces(CollectionId=collection, UserId="ada", FaceIds=[ada])
    key, secret = tenant.access_key("register")
    limited = tenant.client(aws_access_key_id=key, aws_secret_access_key=secret)
    give = {"CollectionId": collection, "UserId": "ada", "FaceIds": [bob]}
    assert "Confidence" not in limited.associate_faces(**give)["UnsuccessfulFaceAssociations"][0]
    assert "Confidence" in rekognition.associate_faces(**give)["UnsuccessfulFaceAssociations"][0]


def test_the_names_of_anonymous_subjects_are_nobody_elses(
    tenant: Tenant, rekognition: Any, index: Index, collection: str
) -> None:
    (face,) = index(pictures.photo(1))
    subject = f"face@{face}"
    with pytest.raises(rekognition.exceptions.InvalidParameterException, match="face@"):
        rekognition.create_user(CollectionId=collection, UserId="face@somebody")
    for missing in ({"UserId": subject},):
        with pytest.raises(rekognition.exceptions.ResourceNotFoundException):
            rekognition.search_users(CollectionId=collection, **missing)
    files = [("images", ("1.jpg", pictures.photo(1), "image/jpeg"))]
    data = {"subject": subject, "collection": collection}
    assert tenant.native.post("/register", data=data, files=files).status_code == 422
    created = tenant.native.post(f"/collections/{collection}/subjects", json={"subject": "face@x"})
    assert created.status_code == 422


def test_users_are_given_and_lose_faces_by_many_at_once(tenant: Tenant, index: Index, collection: str) -> None:
    faces = [index(pictures.photo(seed))[0] for seed in range(1, 9)]

    def work(number: int) -> set[str]:
        client = tenant.client(config={"retries": {"mode": "standard", "total_max_attempts": 1}})
        codes = set()
        for _ in range(5):
            user = f"u{number % 2}"
            for call, more in (
                (client.create_user, {"UserId": user}),
                (client.associate_faces, {"UserId": user, "FaceIds": faces, "UserMatchThreshold": 0}),
                (client.disassociate_faces, {"UserId": user, "FaceIds": faces[::-1]}),
                (client.delete_user, {"UserId": user}),
            ):
                try:
                    call(CollectionId=collection, **more)
                except ClientError as exc:
                    codes.add(exc.response["Error"]["Code"])
        return codes

    with ThreadPoolExecutor(4) as pool:
        codes = set[str]().union(*pool.map(work, range(4)))
    assert codes <= {"ConflictException", "ResourceNotFoundException"}
    left = tenant.client().list_faces(CollectionId=collection)["Faces"]
    assert {face["FaceId"] for face in left} == set(faces)
