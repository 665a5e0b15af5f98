"""One convention for photos without faces: routes that look answer 200 with an empty list, routes that need one 422."""

import base64
from typing import Any

import httpx
import pytest

from app.routes.photo_paths import IMAGE_PATHS
from tests import pictures
from tests.api.conftest import Account, problem

NOBODY = pictures.landscape()
PHOTO = pictures.photo(1)
SUBJECT = {"subject": "ada"}

LOOKS: dict[str, tuple[dict[str, bytes], tuple[str, ...]]] = {
    "detect": ({"image": NOBODY}, ("faces",)),
    "extract": ({"image": NOBODY}, ("faces",)),
    "recognize": ({"image": NOBODY}, ("faces",)),
    "register/all": ({"image": NOBODY}, ("stored", "skipped")),
}
"""The photos to send, and the lists that are empty in the answer."""

LOOKS_AT_EACH = {
    "extract/batch": {"images": NOBODY},
    "recognize/batch": {"images": NOBODY},
}

NEEDS: dict[str, tuple[dict[str, str], dict[str, bytes], str]] = {
    "register": (SUBJECT, {"images": NOBODY}, "images"),
    "verify": (SUBJECT, {"image": NOBODY}, "image"),
    "compare": ({}, {"source": PHOTO, "target": NOBODY}, "target"),
    "compare/batch": ({}, {"source": NOBODY, "targets": PHOTO}, "source"),
}
"""The fields and photos to send, and the field of the error."""


def test_every_photo_route_is_here() -> None:
    assert {f"/api/v1/{name}" for name in (*LOOKS, *LOOKS_AT_EACH, *NEEDS)} == IMAGE_PATHS


async def send(account: Account, name: str, fields: dict[str, str], photos: dict[str, bytes]) -> list[httpx.Response]:
    """The answers to a form and to a JSON body."""
    files = {field: ("a.jpg", data) for field, data in photos.items()}
    body: dict[str, Any] = dict(fields)
    for field, data in photos.items():
        encoded = base64.b64encode(data).decode()
        body[field] = [encoded] if field in ("images", "targets") else encoded
    return [
        await account.client.post(f"/{name}", data=fields, files=files),
        await account.client.post(f"/{name}", json=body),
    ]


@pytest.mark.parametrize("name", LOOKS)
async def test_a_route_that_looks_answers_with_empty_lists(ada: Account, name: str) -> None:
    photos, lists = LOOKS[name]
    for answer in await send(ada, name, {}, photos):
        assert answer.status_code == 200, answer.text
        assert [answer.json()[one] for one in (*lists, "faces_left_out")] == [*[[] for _ in lists], 0]
        assert answer.json()["image"]["width"] > 0


@pytest.mark.parametrize("name", LOOKS_AT_EACH)
async def test_so_does_each_item_of_a_batch(ada: Account, name: str) -> None:
    for answer in await send(ada, name, {}, LOOKS_AT_EACH[name]):
        (item,) = answer.json()["items"]
        assert (answer.status_code, item["answer"]["faces"], item["problem"]) == (200, [], None)


@pytest.mark.parametrize("name", NEEDS)
async def test_a_route_that_needs_a_face_names_the_photo_without_one(ada: Account, name: str) -> None:
    fields, photos, field = NEEDS[name]
    for answer in await send(ada, name, fields, photos):
        assert problem(answer) == "422 no_face"
        (error,) = answer.json()["errors"]
        assert (error["field"], error["detail"]) == (field, answer.json()["detail"])


async def test_a_target_without_a_face_is_a_problem_of_its_item(ada: Account) -> None:
    for answer in await send(ada, "compare/batch", {}, {"source": PHOTO, "targets": NOBODY}):
        (item,) = answer.json()["items"]
        assert (item["answer"], item["problem"]["status"], item["problem"]["code"]) == (None, 422, "no_face")


async def test_register_all_answers_201_only_if_it_stored_a_face(admin: Account) -> None:
    for photo, status in ((NOBODY, 200), (pictures.small(1), 200), (PHOTO, 201), (PHOTO, 201)):
        headers = {"idempotency-key": f"once {len(photo)}".replace(" ", "-")}
        files = {"image": ("a.jpg", photo)}
        for _ in range(2):  # the second answer is the first one, replayed
            answer = await admin.client.post("/register/all", files=files, headers=headers)
            assert answer.status_code == status
        assert answer.headers["idempotent-replayed"] == "true"
