"""The duties that come with faces: consent, export, erasure, receipts, and the trail of who did what."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from sqlalchemy import text

from app.errors import ConsentRequired
from app.persistence.connections.database import Database
from app.persistence.repositories.collections import CollectionRepository
from app.persistence.repositories.events import prune_events
from app.persistence.repositories.subjects import SubjectRepository
from app.persistence.repositories.templates import NewFace, TemplateStore
from app.security.receipts import SignedReceipt, is_valid_receipt
from tests import pictures
from tests.api.conftest import Account, Running, problem
from tests.integration.conftest import FACE

ADA = "/collections/default/subjects/ada"


async def who_is(account: Account, seed: int) -> str | None:
    """The subject that a photo of the drawn person matches."""
    answer = await account.send("/recognize", pictures.photo(seed))
    best = answer.raise_for_status().json()["faces"][0]["candidates"]
    return best[0]["subject"] if best and best[0]["decision"] == "match" else None


async def actions(account: Account, **filters: str) -> list[str]:
    answer = await account.client.get("/audit", params={"limit": 500, **filters})
    return [entry["action"] for entry in answer.raise_for_status().json()["items"]]


async def demand_consent(account: Account) -> None:
    assert (await account.client.put("/policy", json={"consent_required": True})).status_code == 200


# --- consent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("images", [1, 2])
async def test_without_the_consent_that_the_policy_demands_nothing_is_stored(admin: Account, images: int) -> None:
    await demand_consent(admin)
    photos = [pictures.photo(1)] * images
    assert problem(await admin.register("ada", *photos)) == "422 consent_required"
    assert problem(await admin.client.get(ADA)) == "404 subject_not_found"
    agreed = await admin.register("ada", *photos, consent="form 7")
    assert agreed.status_code == 201
    assert (await admin.register("ada", pictures.photo(1))).status_code == 201  # who agreed needs not do so each time


async def test_an_import_needs_the_consent_too(admin: Account) -> None:
    await admin.register("ada", pictures.photo(1))
    document = (await admin.client.get(f"{ADA}/export")).json()
    await admin.client.delete(ADA)
    await demand_consent(admin)
    assert problem(await admin.client.post("/subjects/import", json=document)) == "422 consent_required"
    assert problem(await admin.client.get(ADA)) == "404 subject_not_found"
    document["consent"] = {"reference": "form 7", "recorded_at": "2026-01-17T12:00:00Z", "recorded_by": "user:x"}
    assert (await admin.client.post("/subjects/import", json=document)).status_code == 201
    assert (await admin.client.get(ADA)).json()["consent"]["recorded_at"] == "2026-01-17T12:00:00Z"


async def test_the_database_demands_consent_of_whatever_stores_a_template(
    admin: Account, running: Running, database: Database
) -> None:
    await demand_consent(admin)

    async def store_past_the_services() -> None:
        async with database.transaction(admin.tenant_id) as session:
            row = await CollectionRepository(session, admin.tenant_id).find_row("default")
            assert row is not None
            subject_id = await SubjectRepository(session, admin.tenant_id).upsert(row.id, "ada", None, None)
            store = TemplateStore(session, admin.tenant_id, running.state.search.protector)
            embedding = np.eye(1, 512, dtype=np.float32)[0]
            await store.add_all([NewFace.of(subject_id, FACE, {"r": embedding})], collection_id=row.id, source="test")

    with pytest.raises(ConsentRequired):
        await store_past_the_services()


async def test_a_consent_says_who_recorded_it_and_when(admin: Account) -> None:
    await admin.register("ada", pictures.photo(1))
    assert (await admin.client.get(ADA)).json()["consent"] is None
    recorded = await admin.client.put(f"{ADA}/consent", json={"reference": "form 7"})
    consent = recorded.json()["consent"]
    assert consent["reference"] == "form 7"
    assert consent["recorded_by"].startswith("user:")
    assert consent["recorded_at"] is not None
    assert consent["withdrawn_at"] is None
    assert problem(await admin.client.put(f"{ADA}/consent", json={"reference": " "})) == "422 invalid_parameter"


async def test_whose_consent_is_withdrawn_is_found_no_more_from_that_answer_on(admin: Account) -> None:
    await admin.register("ada", pictures.photo(1), consent="form 7")
    assert [await who_is(admin, 1) for _ in range(3)] == ["ada"] * 3  # the last from memory
    withdrawn = await admin.client.delete(f"{ADA}/consent")
    assert withdrawn.json()["consent"]["withdrawn_at"] is not None
    assert withdrawn.json()["templates"] == 0
    assert await who_is(admin, 1) is None
    assert problem(await admin.register("ada", pictures.photo(1))) == "422 consent_withdrawn"
    assert (await admin.register("ada", pictures.photo(1), consent="form 8")).status_code == 201
    assert await who_is(admin, 1) == "ada"


async def test_an_expiry_must_be_yet_to_come_and_can_be_taken_away(admin: Account) -> None:
    refused = await admin.register("ada", pictures.photo(1), expires_at="2020-01-01T00:00:00Z")
    assert problem(refused) == "422 invalid_parameter"
    assert problem(await admin.register("ada", pictures.photo(1), expires_at="tomorrow")) == "422 invalid_parameter"
    await admin.register("ada", pictures.photo(1), expires_at="2999-01-01T00:00:00Z")
    assert (await admin.client.get(ADA)).json()["expires_at"] == "2999-01-01T00:00:00Z"
    changed = await admin.client.patch(ADA, json={"expires_at": None, "name": "Ada"})
    assert (changed.json()["expires_at"], changed.json()["name"]) == (None, "Ada")
    assert (
        problem(await admin.client.patch(ADA, json={"expires_at": "2020-01-01T00:00:00Z"})) == "422 invalid_parameter"
    )


# --- export, erasure ----------------------------------------------------------------------------------------------


async def test_an_exported_erased_and_imported_person_is_recognized_as_before(admin: Account) -> None:
    await admin.register("ada", pictures.photo(1), name="Ada", metadata='{"team": 7}', consent="form 7")
    before = (await admin.send("/recognize", pictures.photo(1))).json()["faces"][0]["candidates"][0]
    document = (await admin.client.get(f"{ADA}/export")).json()
    assert document["format"] == "vultus.subject/1"
    assert len(document["faces"]) == 1
    assert np.linalg.norm(document["faces"][0]["embedding"]) == pytest.approx(1, abs=1e-3)
    assert [entry["action"] for entry in document["audit"]] == ["faces.registered"]
    await admin.client.delete(ADA)
    assert await who_is(admin, 1) is None
    assert (await admin.client.post("/subjects/import", json=document)).status_code == 201
    after = (await admin.send("/recognize", pictures.photo(1))).json()["faces"][0]["candidates"][0]
    assert after["similarity"] == pytest.approx(before["similarity"], abs=1e-3)
    for changed in ("similarity", "subject_similarity", "face_id"):  # an import gives new ids
        del after[changed], before[changed]
    assert after == before
    assert problem(await admin.client.post("/subjects/import", json=document)) == "409 subject_exists"


async def test_the_exported_embedding_is_what_the_recognizer_made(admin: Account) -> None:
    await admin.register("ada", pictures.photo(1))
    extracted = (await admin.send("/extract", pictures.photo(1))).json()["faces"][0]["embedding"]
    exported = (await admin.client.get(f"{ADA}/export")).json()["faces"][0]["embedding"]
    assert np.dot(extracted, exported) == pytest.approx(1, abs=1e-3)


async def test_an_import_refuses_what_it_cannot_use(admin: Account) -> None:
    await admin.register("ada", pictures.photo(1))
    document = (await admin.client.get(f"{ADA}/export")).json()
    face = document["faces"][0]
    wrong: Sequence[tuple[dict[str, Any], str]] = (
        ({**face, "recognizer": "of another pack"}, "422 recognizer_mismatch"),
        ({**face, "embedding": [0.0] * 512}, "422 invalid_parameter"),
        ({**face, "embedding": [0.1] * 511}, "422 invalid_parameter"),
    )
    for bad, expected in wrong:
        answer = await admin.client.post("/subjects/import", json={**document, "subject": "eve", "faces": [bad]})
        assert problem(answer) == expected
        assert "faces" in answer.text
    assert problem(await admin.client.get("/collections/default/subjects/eve")) == "404 subject_not_found"
    everything_wrong = {**document, "subject": "eve", "faces": [{**face, "embedding": [7.5] * 512}]}
    answer = await admin.client.post("/subjects/import", json=everything_wrong)
    assert problem(answer) == "422 invalid_parameter"
    assert len(answer.json()["errors"]) == 1
    assert "7.5" not in answer.text  # no part of an embedding in an error
    assert problem(await admin.client.post("/subjects/import", content=b"{")) == "422 invalid_parameter"
    large = await admin.client.post("/subjects/import", content=b" " * (17 * 1024 * 1024))
    assert problem(large) == "413 request_too_large"


async def everything_stored(database: Database) -> dict[str, str]:
    """Every row of every table as text."""
    async with database.transaction(as_operator=True) as session:
        await session.execute(text("RESET ROLE"))  # the superuser: nothing hides from the scan
        tables = await session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        return {
            table: "\n".join(await session.scalars(text(f'SELECT t::text FROM "{table}" t'))) for table in tables.all()
        }


async def test_erasing_leaves_no_residue_in_any_column_of_any_table(admin: Account, database: Database) -> None:
    """The id, the name, the metadata, the consent, the row's own id, the embedding as it was and as it is stored."""
    token = uuid4().hex
    names = [f"emp-{token}", f"Name {token}", f"meta {token}", f"form {token}"]
    admin.client.headers["idempotency-key"] = uuid4().hex
    registered = await admin.register(
        names[0], pictures.photo(1), name=names[1], metadata=json.dumps({"note": names[2]}), consent=names[3]
    )
    assert registered.status_code == 201
    face_id = registered.json()["templates"][0]["face_id"]
    path = f"/collections/default/subjects/{names[0]}"
    for step in ("consent", "change", "export"):
        admin.client.headers["idempotency-key"] = uuid4().hex
        if step == "consent":
            await admin.client.put(f"{path}/consent", json={"reference": names[3]})
        elif step == "change":
            await admin.client.patch(path, json={"name": names[1]})
        else:
            exported = (await admin.client.get(f"{path}/export")).json()["faces"][0]["embedding"]
    async with database.transaction(as_operator=True) as session:
        row = (
            await session.execute(
                text("SELECT subject_id::text, embedding::text AS e, code::text FROM templates WHERE id = :id"),
                {"id": face_id},
            )
        ).one()
    needles = [*names, row.subject_id, face_id, row.e, row.code, row.e[1:60], str(exported[0]), str(exported[1])]
    held = await everything_stored(database)
    assert all(any(needle in rows for rows in held.values()) for needle in (*names, *needles[4:9]))
    admin.client.headers["idempotency-key"] = uuid4().hex
    assert (await admin.client.delete(path)).status_code == 200
    left = {
        (table, row)
        for table, rows in (await everything_stored(database)).items()
        for row in rows.splitlines()
        if any(needle in row for needle in needles[:9])
    }
    # Receivers must be able to delete too, so one event names the subject until it is pruned by age.
    assert {table for table, _ in left} == {"events"}
    ((_, event),) = left
    assert f"subject.deleted,default,{names[0]}," in event
    assert not any(needle in event for needle in needles[1:9])
    async with database.transaction(admin.tenant_id) as session:
        await session.execute(text("UPDATE events SET at = at - interval '8 days'"))
    await prune_events(database, timedelta(days=7))
    stored = await everything_stored(database)
    assert not any(needle in rows for rows in stored.values() for needle in needles[:9])


async def test_a_receipt_can_be_checked_by_anybody_and_names_nobody(
    admin: Account, anonymous: httpx.AsyncClient
) -> None:
    # A name that no digest in hexadecimal can hold by chance.
    await admin.register("hugo", pictures.photo(1), pictures.photo(1, take=1))
    answer = (await admin.client.delete("/collections/default/subjects/hugo")).json()
    (key,) = (await anonymous.get("/receipt-keys")).json()["keys"]
    signed = SignedReceipt(**answer)
    assert is_valid_receipt(signed, key)
    assert signed.receipt["faces"] == 2
    assert "hugo" not in json.dumps(answer["receipt"])
    for name, value in (("faces", 3), ("erased_at", "2020-01-01T00:00:00+00:00"), ("tenant_id", str(uuid4()))):
        assert not is_valid_receipt(SignedReceipt({**signed.receipt, name: value}, key, signed.signature), key)
    page = (await admin.client.get("/audit", params={"collection": "default", "subject": "hugo"})).json()["items"]
    assert (page[0]["seq"], page[0]["seal"]) == (signed.receipt["audit_seq"], signed.receipt["audit_seal"])
    assert page[0]["target"] == signed.receipt["subject"]


# --- the trail ----------------------------------------------------------------------------------------------------


async def test_the_trail_tells_who_did_what_to_whom(admin: Account, stranger: Account) -> None:
    await admin.client.post("/collections", json={"name": "lobby"})
    await admin.register("ada", pictures.photo(1), collection="lobby")
    await admin.client.delete("/collections/lobby/subjects/ada")
    await admin.client.delete("/collections/lobby")
    await admin.client.put("/policy", json={"retention_days": 30})
    assert await actions(admin) == [
        "policy.changed",
        "collection.erased",
        "subject.erased",
        "faces.registered",
        "collection.created",
        "tenant.created",
    ]
    assert await actions(admin, collection="lobby", subject="ada") == ["subject.erased", "faces.registered"]
    assert await actions(admin, action="policy.changed") == ["policy.changed"]
    assert await actions(admin, since="2999-01-01T00:00:00Z") == []
    assert await actions(stranger, collection="lobby", subject="ada") == []
    entry = (await admin.client.get("/audit", params={"limit": 1})).json()["items"][0]
    changed = {"consent_required": False, "retention_days": 30, "second_factor_required": False}
    assert entry["details"] == changed
    assert await actions(admin, actor=entry["actor"]) == await actions(admin)
    assert problem(await admin.client.get("/audit", params={"subject": "ada"})) == "422 invalid_parameter"


async def test_the_trail_is_read_page_by_page(admin: Account) -> None:
    for index in range(5):
        await admin.client.post("/collections", json={"name": f"c{index}"})
    seqs: list[int] = []
    cursor = None
    while True:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await admin.client.get("/audit", params=params)).json()
        seqs += [entry["seq"] for entry in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seqs == [6, 5, 4, 3, 2, 1]


async def test_what_failed_is_not_in_the_trail(admin: Account) -> None:
    before = await actions(admin)
    assert (await admin.register("ada", pictures.landscape())).status_code == 422
    assert (await admin.client.delete(ADA)).status_code == 404
    assert (await admin.client.post("/collections", json={"name": "default"})).status_code == 409
    assert await actions(admin) == before


async def test_the_trail_is_for_admins(ada: Account, stranger: Account) -> None:
    key = (await ada.client.post("/keys", json={"name": "k", "scopes": ["recognize", "register"]})).json()["key"]
    refused = await stranger.client.get("/audit", headers={"authorization": f"Bearer {key}"})
    assert problem(refused) == "403 permission_denied"


# --- what nobody may break ----------------------------------------------------------------------------------------


async def test_an_end_is_set_only_by_who_may_delete(ada: Account, running: Running) -> None:
    issued = (await ada.client.post("/keys", json={"name": "k", "scopes": ["register"]})).json()
    limited = (await ada.client.post("/keys", json={"name": "a", "scopes": ["admin"]})).json()
    soon, later = {"expires_at": "2990-01-01T00:00:00Z"}, {"expires_at": "2999-01-01T00:00:00Z"}
    files = {"images": ("a.jpg", pictures.photo(1), "image/jpeg")}
    async with running.client(issued["key"]) as program:
        assert problem(await program.patch(ADA, json=soon)) == "403 permission_denied"
        answer = await program.post("/register", data={"subject": "ada", **soon}, files=files)
        assert problem(answer) == "403 permission_denied"
        assert (await ada.client.patch(ADA, json=soon)).status_code == 200
        assert (await program.patch(ADA, json=later)).status_code == 200
        answer = await program.post("/register", data={"subject": "new", **soon}, files=files)
        assert answer.status_code == 201
    async with running.client(limited["key"]) as program:
        assert problem(await program.put("/policy", json={"retention_days": 1})) == "403 permission_denied"
        assert (await program.put("/policy", json={"consent_required": True})).status_code == 200


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "soon"])
async def test_times_that_are_none_are_refused(ada: Account, moment: str) -> None:
    assert problem(await ada.client.patch(ADA, json={"expires_at": moment})) == "422 invalid_parameter"
    assert problem(await ada.client.get("/audit", params={"since": moment})) == "422 invalid_parameter"


async def test_text_that_is_none_is_refused(ada: Account) -> None:
    document = (await ada.client.get(f"{ADA}/export")).json()
    face = {**document["faces"][0], "quality": {"\0": 1}}
    consent = {"reference": "x", "recorded_at": "2026-01-01T00:00:00Z", "recorded_by": "\0"}
    for wrong in ({"faces": [face]}, {"consent": consent}):
        answer = await ada.client.post("/subjects/import", json={**document, "subject": "eve", **wrong})
        assert problem(answer) == "422 invalid_parameter"
    assert problem(await ada.client.get("/audit", params={"actor": "\0"})) == "422 invalid_parameter"


@pytest.mark.parametrize("days", [True, "30", 0, 1.5, 10**9])
async def test_a_policy_takes_a_number_of_days_and_nothing_like_one(admin: Account, days: object) -> None:
    refused = await admin.client.put("/policy", json={"retention_days": days})
    assert problem(refused) == "422 invalid_parameter"
    assert (await admin.client.get("/policy")).json()["retention_days"] is None


async def test_nobody_whose_time_is_over_is_imported(ada: Account) -> None:
    document = (await ada.client.get(f"{ADA}/export")).json()
    late = {**document, "subject": "eve", "expires_at": "2020-01-01T00:00:00Z"}
    assert problem(await ada.client.post("/subjects/import", json=late)) == "422 invalid_parameter"


async def test_an_imported_face_counts_no_more_than_another(ada: Account) -> None:
    document = (await ada.client.get(f"{ADA}/export")).json()
    longer = [1.3 * value for value in document["faces"][0]["embedding"]]
    wrong = {**document, "subject": "eve", "faces": [{**document["faces"][0], "embedding": longer}]}
    assert problem(await ada.client.post("/subjects/import", json=wrong)) == "422 invalid_parameter"
