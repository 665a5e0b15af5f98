"""`é` typed in two ways is one letter: ids, names, emails and passwords are composed (NFC) when they come in."""

import unicodedata
from uuid import uuid4

import httpx
import pytest

from tests import pictures
from tests.api.conftest import Account, problem

COMPOSED = "José-Núñez"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
SUBJECTS = "/collections/default/subjects"


async def test_two_spellings_of_an_id_are_one_person(admin: Account) -> None:
    assert COMPOSED != DECOMPOSED
    await admin.register(DECOMPOSED, pictures.photo(1), name=DECOMPOSED, consent=DECOMPOSED)
    await admin.register(COMPOSED, pictures.photo(1, take=1))
    (subject,) = (await admin.client.get(SUBJECTS)).json()["items"]
    assert (subject["subject"], subject["name"], subject["templates"]) == (COMPOSED, COMPOSED, 2)
    for spelling in (COMPOSED, DECOMPOSED):
        assert (await admin.client.get(f"{SUBJECTS}/{spelling}")).json()["templates"] == 2
        verified = await admin.send("/verify", pictures.photo(1, take=2), subject=spelling)
        assert verified.json()["subject"] == COMPOSED
        assert (await admin.client.get(f"{SUBJECTS}/{spelling}/export")).json()["subject"] == COMPOSED


async def test_erasing_either_spelling_leaves_nobody(admin: Account) -> None:
    await admin.register(COMPOSED, pictures.photo(1))
    await admin.register(DECOMPOSED, pictures.photo(1, take=1))
    assert (await admin.client.delete(f"{SUBJECTS}/{DECOMPOSED}")).json()["receipt"]["faces"] == 2
    (face,) = (await admin.send("/recognize", pictures.photo(1))).json()["faces"]
    assert face["candidates"] == []
    page = (await admin.client.get("/audit", params={"collection": "default", "subject": DECOMPOSED})).json()
    assert page["items"][0]["action"] == "subject.erased"


async def test_an_import_composes_ids_too(admin: Account) -> None:
    await admin.register(COMPOSED, pictures.photo(1))
    document = (await admin.client.get(f"{SUBJECTS}/{COMPOSED}/export")).json()
    assert (await admin.client.delete(f"{SUBJECTS}/{COMPOSED}")).status_code == 200
    document["subject"] = DECOMPOSED
    assert (await admin.client.post("/subjects/import", json=document)).status_code == 201
    assert (await admin.client.get(f"{SUBJECTS}/{COMPOSED}")).status_code == 200


@pytest.mark.parametrize("hidden", ["\u200b", "\u200d", "\u202e", "\u2066", "\ufeff", "\u00ad", "\u3164", "\ufe0f"])
async def test_ids_have_no_invisible_characters(admin: Account, hidden: str) -> None:
    answer = await admin.register(f"ada{hidden}", pictures.photo(1))
    assert problem(answer) == "422 invalid_parameter"
    assert answer.json()["errors"][0]["field"] == "subject"
    assert (await admin.client.get(SUBJECTS)).json()["items"] == []


async def test_names_may_join_letters_but_not_turn_them_around(admin: Account) -> None:
    persian = "نیما\u200cفر"
    assert (await admin.register("nima", pictures.photo(1), name=persian)).status_code == 201
    assert problem(await admin.register("ada", pictures.photo(2), name="Ada\u202egnp")) == "422 invalid_parameter"


async def test_a_login_works_in_either_spelling(anonymous: httpx.AsyncClient) -> None:
    email, password = f"josé-{uuid4().hex}@example.com", "ein schönes Passwort"
    spelled = [unicodedata.normalize(form, text) for form in ("NFC", "NFD") for text in (email, password)]
    signup = {"tenant": "Faces", "email": spelled[2], "password": spelled[3]}
    created = await anonymous.post("/auth/signup", json=signup)
    assert created.json()["email"] == spelled[0]
    for username, typed in (spelled[:2], spelled[2:], (spelled[0], spelled[3])):
        answer = await anonymous.post("/auth/token", data={"username": username, "password": typed})
        assert answer.status_code == 200, answer.text
    again = await anonymous.post("/auth/signup", json={**signup, "email": spelled[0]})
    assert problem(again) == "409 email_taken"
