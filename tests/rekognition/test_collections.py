"""Collections and their tags, through boto3."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.rekognition.conftest import REGION, Index, Tenant


def test_a_collection_is_made_described_listed_and_deleted(rekognition: Any) -> None:
    made = rekognition.create_collection(CollectionId="Lobby.1")
    assert made["StatusCode"] == 200
    prefix, name = made["CollectionArn"].split("/")
    assert name == "Lobby.1"
    assert prefix.startswith(f"aws:rekognition:{REGION}:")
    described = rekognition.describe_collection(CollectionId="Lobby.1")
    assert (described["FaceCount"], described["UserCount"]) == (0, 0)
    assert described["CollectionARN"] == f"arn:{made['CollectionArn']}"
    assert described["CreationTimestamp"].tzinfo is not None
    listed = rekognition.list_collections()
    assert "Lobby.1" in listed["CollectionIds"]
    assert len(listed["FaceModelVersions"]) == len(listed["CollectionIds"])
    assert set(listed["FaceModelVersions"]) == {made["FaceModelVersion"]}
    assert rekognition.delete_collection(CollectionId="Lobby.1")["StatusCode"] == 200
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException):
        rekognition.describe_collection(CollectionId="Lobby.1")


def test_a_collection_made_on_one_side_is_there_on_the_other(tenant: Tenant, rekognition: Any) -> None:
    rekognition.create_collection(CollectionId="theirs")
    assert tenant.native.get("/collections/theirs").json()["subjects"] == 0
    tenant.native.post("/collections", json={"name": "ours"}).raise_for_status()
    assert rekognition.describe_collection(CollectionId="ours")["FaceCount"] == 0


def test_names_are_case_sensitive_and_taken_once(rekognition: Any) -> None:
    rekognition.create_collection(CollectionId="people")
    rekognition.create_collection(CollectionId="People")
    with pytest.raises(rekognition.exceptions.ResourceAlreadyExistsException, match="people"):
        rekognition.create_collection(CollectionId="people")


def test_the_paginator_walks_over_all_collections_also_while_they_are_deleted(rekognition: Any) -> None:
    names = {f"{'x' * 200}-{number:02}" for number in range(7)}
    for name in names:
        rekognition.create_collection(CollectionId=name)
    seen = []
    for page in rekognition.get_paginator("list_collections").paginate(PaginationConfig={"PageSize": 2}):
        assert len(page.get("NextToken", "")) <= 255
        for name in page["CollectionIds"]:
            seen.append(name)
            rekognition.delete_collection(CollectionId=name)
    assert set(seen) == names | {"default"}
    assert len(seen) == len(set(seen))


def test_a_token_of_another_tenant_or_list_is_refused(tenant: Tenant, stranger: Tenant, index: Index) -> None:
    mine, theirs = tenant.client(), stranger.client()
    theirs.create_collection(CollectionId="people")
    token = theirs.list_collections(MaxResults=1)["NextToken"]
    calls: list[tuple[Any, dict[str, str]]] = [
        (mine.list_collections, {"NextToken": token}),
        (mine.list_faces, {"CollectionId": "people", "NextToken": token}),
        (mine.list_users, {"CollectionId": "people", "NextToken": token}),
        (mine.list_collections, {"NextToken": "made up"}),
    ]
    for call, parameters in calls:
        with pytest.raises(mine.exceptions.InvalidPaginationTokenException):
            call(**parameters)


def test_tags(rekognition: Any, stranger: Tenant) -> None:
    arn = rekognition.create_collection(CollectionId="tagged", Tags={"team": "7", "purpose": ""})["CollectionArn"]
    assert rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"team": "7", "purpose": ""}
    rekognition.tag_resource(ResourceArn=f"arn:{arn}", Tags={"team": "8", "Größe": "groß"})
    rekognition.untag_resource(ResourceArn=arn, TagKeys=["purpose", "never there"])
    assert rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"team": "8", "Größe": "groß"}
    with pytest.raises(rekognition.exceptions.ServiceQuotaExceededException, match="202"):
        rekognition.tag_resource(ResourceArn=arn, Tags={f"key{number}": "" for number in range(200)})
    with pytest.raises(rekognition.exceptions.InvalidParameterException, match="aws:"):
        rekognition.tag_resource(ResourceArn=arn, Tags={"aws:reserved": "x"})
    for wrong in (arn.replace("tagged", "other"), "arn:aws:s3:::a-bucket-of-somebody"):
        with pytest.raises(rekognition.exceptions.ResourceNotFoundException):
            rekognition.list_tags_for_resource(ResourceArn=wrong)
    foreign = stranger.client()
    foreign.create_collection(CollectionId="tagged")
    with pytest.raises(foreign.exceptions.ResourceNotFoundException):
        foreign.list_tags_for_resource(ResourceArn=arn)


def test_tags_that_are_set_at_the_same_time_are_all_kept(tenant: Tenant, rekognition: Any) -> None:
    arn = rekognition.create_collection(CollectionId="tagged")["CollectionArn"]

    def tag(number: int) -> None:
        tenant.client().tag_resource(ResourceArn=arn, Tags={f"key{number}": ""})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tag, range(12)))
    assert len(rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"]) == 12
