"""The same photo again, for the same subject, is the same template."""

import asyncio
from typing import Any

from tests import pictures
from tests.api.conftest import Account

ADA = "/collections/default/subjects/ada"


async def register(account: Account, *photos: bytes, **fields: str) -> list[dict[str, Any]]:
    answer = await account.register("ada", *photos, **fields)
    assert answer.status_code == 201, answer.text
    templates: list[dict[str, Any]] = answer.json()["templates"]
    return templates


async def count_templates(account: Account) -> int:
    count: int = (await account.client.get(ADA)).json()["templates"]
    return count


async def test_a_repeated_photo_is_stored_once(admin: Account) -> None:
    (first,) = await register(admin, pictures.photo(1))
    (again,) = await register(admin, pictures.photo(1), name="Ada Acker")
    assert (first["was_stored"], again["was_stored"]) == (False, True)
    assert first["face_id"] == again["face_id"]
    assert (await admin.client.get(ADA)).json()["name"] == "Ada Acker"
    assert await count_templates(admin) == 1
    new, old = await register(admin, pictures.photo(1, take=1), pictures.photo(1))
    assert (new["was_stored"], old["was_stored"]) == (False, True)
    assert await count_templates(admin) == 2


async def test_a_photo_twice_in_one_request_is_stored_once(admin: Account) -> None:
    first, second = await register(admin, pictures.photo(1), pictures.photo(1))
    assert first["face_id"] == second["face_id"]
    assert await count_templates(admin) == 1


async def test_requests_at_the_same_time_store_a_photo_once(admin: Account) -> None:
    answers = await asyncio.gather(*(register(admin, pictures.photo(1)) for _ in range(6)))
    assert len({template["face_id"] for (template,) in answers}) == 1
    assert sum(not template["was_stored"] for (template,) in answers) == 1
    assert await count_templates(admin) == 1


async def test_a_photo_is_stored_again_for_another_subject_and_after_its_face_was_deleted(admin: Account) -> None:
    (first,) = await register(admin, pictures.photo(1))
    (other,) = (await admin.register("twin", pictures.photo(1))).json()["templates"]
    assert not other["was_stored"]
    assert (await admin.client.delete(f"{ADA}/faces/{first['face_id']}")).status_code in (200, 204)
    (again,) = await register(admin, pictures.photo(1))
    assert not again["was_stored"]
    assert again["face_id"] != first["face_id"]
    assert (await admin.client.delete(ADA)).status_code in (200, 204)
    (anew,) = await register(admin, pictures.photo(1))
    assert not anew["was_stored"]


async def test_what_is_registered_once_counts_once(admin: Account) -> None:
    for _ in range(3):
        await register(admin, pictures.photo(1))
    entries = (await admin.client.get("/audit", params={"limit": "50"})).json()["items"]
    counts = [entry["details"]["faces"] for entry in entries if entry["action"] == "faces.registered"]
    assert sorted(counts) == [0, 0, 1]
