"""Errors about an image say which one: its field, and its position if several were sent."""

import pytest

from tests import pictures
from tests.api.conftest import Account, problem

UNUSABLE = {
    "no_face": pictures.landscape(),
    "image_unreadable": b"no picture",
    "image_truncated": pictures.photo(1)[:2000],
    "image_empty": b"",
}


@pytest.mark.parametrize("field", ["source", "target"])
@pytest.mark.parametrize("code", UNUSABLE)
async def test_compare_names_the_unusable_photo(admin: Account, field: str, code: str) -> None:
    photos = {"source": pictures.photo(1), "target": pictures.photo(2), field: UNUSABLE[code]}
    answer = await admin.client.post("/compare", files={name: ("a.jpg", data) for name, data in photos.items()})
    assert problem(answer).endswith(code)
    (error,) = answer.json()["errors"]
    assert (error["field"], error["detail"]) == (field, answer.json()["detail"])
    assert error["detail"].startswith(f"{field}: ")


@pytest.mark.parametrize("code", [code for code in UNUSABLE if code != "no_face"])
async def test_every_route_names_the_field_of_an_unusable_photo(ada: Account, code: str) -> None:
    fields = {"/verify": {"subject": "ada"}, "/register": {"subject": "ada"}}
    for path in ("/detect", "/verify", "/recognize", "/extract", "/register/all", "/register"):
        field = "images" if path == "/register" else "image"
        files = {field: ("a.jpg", UNUSABLE[code])}
        answer = await ada.client.post(path, data=fields.get(path, {}), files=files)
        assert problem(answer).endswith(code), path
        (error,) = answer.json()["errors"]
        assert (error["field"], error["detail"]) == (field, answer.json()["detail"])


@pytest.mark.parametrize(
    ("code", "photo"), [("no_face", pictures.landscape()), ("several_faces", pictures.group(1, 2))]
)
async def test_a_face_that_cannot_be_used_has_the_field_of_its_photo(ada: Account, code: str, photo: bytes) -> None:
    for path, field in (("/verify", "image"), ("/register", "images")):
        answer = await ada.client.post(path, data={"subject": "ada"}, files={field: ("a.jpg", photo)})
        assert problem(answer) == f"422 {code}"
        assert answer.json()["errors"][0]["field"] == field


async def test_each_of_several_refused_photos_has_its_index(admin: Account) -> None:
    answer = await admin.register("ada", pictures.landscape(), b"no picture", pictures.group(1, 2))
    assert problem(answer) == "422 no_image_accepted"
    assert [(error["field"], error["index"], error["code"]) for error in answer.json()["errors"]] == [
        ("images", 0, "no_face"),
        ("images", 1, "image_unreadable"),
        ("images", 2, "several_faces"),
    ]
