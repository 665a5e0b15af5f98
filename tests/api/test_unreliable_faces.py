"""Stored faces of low quality resemble many people, so they are never a match, in any search."""

from typing import Any

from tests import pictures
from tests.api.conftest import Account

SUBJECTS = "/collections/default/subjects"


async def store_unreliable(account: Account, subject: str, photo: bytes) -> str:
    """Register a subject and store it again with a score that a quality model would give a bad photo; its face's id."""
    assert (await account.register(subject, photo)).status_code == 201
    document = (await account.client.get(f"{SUBJECTS}/{subject}/export")).json()
    await account.client.delete(f"{SUBJECTS}/{subject}")
    for face in document["faces"]:
        face["quality"]["score"] = 12.5
    assert (await account.client.post("/subjects/import", json=document)).status_code == 201
    faces = (await account.client.get(f"{SUBJECTS}/{subject}/faces")).json()
    face_id: str = faces["items"][0]["face_id"]
    return face_id


async def recognize(account: Account, photo: bytes) -> dict[str, Any]:
    (face,) = (await account.send("/recognize", photo)).json()["faces"]
    candidate: dict[str, Any] = face["candidates"][0]
    return candidate


async def test_only_bad_templates_make_no_match_until_a_good_one_comes(admin: Account) -> None:
    await store_unreliable(admin, "ada", pictures.photo(1))
    found = await recognize(admin, pictures.photo(1))
    assert found["similarity"] > 0.99
    assert (found["decision"], found["decision_limits"]) == ("review", ["template_quality"])
    assert found["false_match_rate"] is None
    verified = (await admin.send("/verify", pictures.photo(1), subject="ada")).json()
    assert (verified["decision"], verified["decision_limits"]) == ("review", ["template_quality"])
    assert verified["similarity_false_match_rate"] is None
    assert (await admin.register("ada", pictures.photo(1, take=1))).status_code == 201
    found = await recognize(admin, pictures.photo(1))
    assert (found["decision"], found["decision_limits"]) == ("match", [])
    assert found["false_match_rate"] <= 1e-3


async def test_a_stored_face_of_low_quality_is_no_probe_either(admin: Account) -> None:
    face_id = await store_unreliable(admin, "ada", pictures.photo(1))
    assert (await admin.register("twin", pictures.photo(1, take=1))).status_code == 201
    for path in (f"{SUBJECTS}/ada/similar", f"{SUBJECTS}/ada/faces/{face_id}/similar"):
        answer = await admin.client.get(path)
        assert answer.status_code == 200, answer.text
        (found,) = answer.json()["candidates"]
        assert (found["subject"], found["decision"]) == ("twin", "review")
        assert found["decision_limits"] == ["probe_quality"]
        assert found["false_match_rate"] is None


async def test_without_a_quality_model_the_score_is_unknown_and_limits_nothing(ada: Account) -> None:
    (face,) = (await ada.send("/detect", pictures.photo(1))).json()["faces"]
    assert face["quality"]["score"] is None
    files = {name: ("photo.jpg", pictures.photo(1, take=take)) for take, name in enumerate(("source", "target"))}
    compared = (await ada.client.post("/compare", files=files)).json()
    assert (compared["targets"][0]["decision"], compared["targets"][0]["decision_limits"]) == ("match", [])
