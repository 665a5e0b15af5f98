"""Subjects are found by parts of their id and name, by metadata and by time, each page from an index."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.persistence.connections.database import Database
from app.persistence.repositories import subject_search
from app.persistence.repositories.subject_search import SubjectFilter, SubjectSearch
from app.persistence.repositories.subjects import SubjectRepository
from tests import pictures
from tests.api.conftest import Account, problem
from tests.integration.conftest import make_tenant
from tests.openapi import operations_of

SUBJECTS = "/collections/default/subjects"
PEOPLE: dict[str, tuple[str | None, dict[str, Any]]] = {
    "emp-1042": ("Ada Müller", {"site": "berlin", "team": 7, "remote": True}),
    "emp-1043": ("Bob Muller-Öztürk", {"site": "berlin", "team": 8}),
    "emp-2042": ("Łukasz Strauß", {"site": "paris", "team": "7"}),
    "guest.7": ("ЖАННА Д'Арк", {"site": "paris", "nested": {"site": "berlin"}, "tags": ["berlin"]}),
    "guest.8": ("山田太郎", {"a.b": "c d&e", "": "empty", "none": None}),
    "nobody": (None, {}),
}


async def create(account: Account, collection: str = "default") -> None:
    for subject, (name, metadata) in PEOPLE.items():
        body = {"subject": subject, "name": name, "metadata": metadata}
        (await account.client.post(f"/collections/{collection}/subjects", json=body)).raise_for_status()


@pytest.fixture
async def people(admin: Account) -> Account:
    await create(admin)
    return admin


async def find(account: Account, *, limit: Any = 50, **filters: Any) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        params = {"limit": limit, **filters, **({"cursor": cursor} if cursor else {})}
        page = (await account.client.get(SUBJECTS, params=params)).raise_for_status().json()
        found += [subject["subject"] for subject in page["items"]]
        assert len(page["items"]) <= limit
        cursor = page["next_cursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ada", ["emp-1042"]),
        ("MULLER", ["emp-1042", "emp-1043"]),
        ("müll", ["emp-1042", "emp-1043"]),
        ("mu\u0308ll", ["emp-1042", "emp-1043"]),
        ("ller", []),
        ("042", []),
        ("emp-10", ["emp-1042", "emp-1043"]),
        ("10 bob", ["emp-1043"]),
        ("bob ada", []),
        ("oztürk", ["emp-1043"]),
        ("lukasz strauss", ["emp-2042"]),
        ("жанна арк", ["guest.7"]),
        ("太郎", ["guest.8"]),
        ("8", ["guest.8"]),
        ("o", ["emp-1043"]),
        ("%", None),
        ("_ *", None),
        ("a b c d e f g h i j k", None),
    ],
)
async def test_beginnings_of_words_find_subjects(people: Account, text: str, expected: list[str] | None) -> None:
    if expected is None:
        refused = await people.client.get(SUBJECTS, params={"q": text})
        assert problem(refused) == "422 invalid_parameter"
        assert refused.json()["errors"][0]["field"] == "q"
    else:
        assert await find(people, q=text) == expected
        assert await find(people, q=text, limit=1) == expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"site": "berlin"}, ["emp-1042", "emp-1043"]),
        ({"site": "berlin", "team": "7"}, ["emp-1042"]),
        ({"team": "7"}, ["emp-1042", "emp-2042"]),
        ({"remote": "true"}, ["emp-1042"]),
        ({"site": "Berlin"}, []),
        ({"site": "ber"}, []),
        ({"nested": "berlin"}, []),
        ({"tags": "berlin"}, []),
        ({"a.b": "c d&e"}, ["guest.8"]),
        ({"none": "null"}, []),
        ({"si": "teberlin"}, []),
        ({"nothing": "x"}, []),
    ],
)
async def test_metadata_finds_subjects(people: Account, filters: dict[str, str], expected: list[str]) -> None:
    params = {f"metadata.{key}": value for key, value in filters.items()}
    assert await find(people, **params) == expected
    assert await find(people, limit=1, **params) == expected


async def test_filters_are_combined(people: Account) -> None:
    assert await find(people, q="muller", **{"metadata.team": "8"}) == ["emp-1043"]
    assert await find(people, q="muller", **{"metadata.team": "9"}) == []
    (last,) = [one for one in (await people.client.get(SUBJECTS)).json()["items"] if one["subject"] == "guest.8"]
    moment = last["created_at"]
    assert await find(people, created_after=moment) == ["nobody"]
    assert await find(people, created_before=moment) == [one for one in PEOPLE if one not in ("guest.8", "nobody")]
    assert await find(people, created_before=moment, q="guest") == ["guest.7"]
    assert await find(people, created_before=moment, created_after=moment) == []
    assert await find(people, created_after="1999-01-01T00:00:00Z") == list(PEOPLE)


async def test_changes_are_found_and_erasures_leave_nothing(people: Account, database: Database) -> None:
    path = f"{SUBJECTS}/emp-1042"
    await people.client.patch(path, json={"name": "Ada Gärtner"})
    assert (await find(people, q="müller"), await find(people, q="gartner")) == (["emp-1043"], ["emp-1042"])
    await people.client.patch(path, json={"name": None, "metadata": {"site": "rome"}})
    assert await find(people, q="gartner") == []
    assert await find(people, **{"metadata.site": "berlin"}) == ["emp-1043"]
    assert await find(people, **{"metadata.site": "rome"}) == ["emp-1042"]
    await people.register("emp-1042", pictures.photo(1), name="Ada Lovelace")
    assert await find(people, q="lovelace") == ["emp-1042"]
    document = (await people.client.get(f"{path}/export")).json()
    await people.client.delete(path)
    assert await find(people, q="lovelace") == await find(people, **{"metadata.site": "rome"}) == []
    async with database.transaction(people.tenant_id) as session:
        rows = await session.scalars(text("SELECT term FROM subject_terms WHERE subject = 'emp-1042'"))
        assert rows.all() == []
    await people.client.post("/subjects/import", json=document)
    assert await find(people, q="lovelace", **{"metadata.site": "rome"}) == ["emp-1042"]


async def test_anonymous_subjects_are_listed_but_not_found_by_their_generated_id(people: Account) -> None:
    stored = (await people.send("/register/all", pictures.group(1))).json()["stored"]
    subject = stored[0]["subject"]
    assert subject in await find(people)
    assert await find(people, q="face") == []
    await people.client.patch(f"{SUBJECTS}/{subject}", json={"name": "Grace"})
    assert await find(people, q="grace") == [subject]


async def test_erasing_a_collection_erases_the_terms(people: Account, database: Database) -> None:
    assert (await people.client.delete("/collections/default")).status_code == 204
    async with database.transaction(people.tenant_id) as session:
        assert await session.scalar(text("SELECT count(*) FROM subject_terms")) == 0


async def test_collections_and_tenants_are_searched_apart(people: Account, stranger: Account) -> None:
    await people.client.post("/collections", json={"name": "lobby"})
    body = {"subject": "emp-1042", "name": "Other", "metadata": {"site": "berlin"}}
    await people.client.post("/collections/lobby/subjects", json=body)
    await stranger.client.post(SUBJECTS, json={**body, "name": "Ada Stranger"})
    assert await find(people, q="other") == []
    assert await find(people, q="stranger") == []
    assert await find(stranger, q="ada") == ["emp-1042"]
    assert await find(stranger, q="muller") == []
    assert await find(stranger, **{"metadata.team": "7"}) == []


async def test_a_cursor_belongs_to_its_filters(people: Account) -> None:
    first = await people.client.get(SUBJECTS, params={"limit": 1, "q": "muller"})
    cursor = first.json()["next_cursor"]
    assert cursor is not None
    same = await people.client.get(SUBJECTS, params={"limit": 5, "q": "muller", "cursor": cursor})
    assert [one["subject"] for one in same.json()["items"]] == ["emp-1043"]
    plain = (await people.client.get(SUBJECTS, params={"limit": 1})).json()["next_cursor"]
    others: list[dict[str, str]] = [
        {"cursor": cursor},
        {"cursor": cursor, "q": "mull"},
        {"cursor": cursor, "q": "muller", "metadata.site": "berlin"},
        {"cursor": cursor, "q": "muller", "created_after": "1999-01-01T00:00:00Z"},
        {"cursor": plain, "q": "muller"},
        {"cursor": plain, "metadata.q": "muller"},
    ]
    for params in others:
        assert problem(await people.client.get(SUBJECTS, params=params)) == "422 invalid_cursor"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("metadata.=x", "metadata."),
        ("metadata=x", "metadata"),
        ("metadata.a=1&metadata.a=2", "metadata.a"),
        ("metadata.a=%00", "metadata.a"),
        ("metadata.a%00=1", "metadata.a\0"),
        ("metadata.a=" + "x" * 1001, "metadata.a"),
        ("&".join(f"metadata.{index}=1" for index in range(11)), "metadata"),
        ("q=", "q"),
        ("q=%00", "q"),
        ("q=" + "x" * 201, "q"),
        ("created_after=today", "created_after"),
        ("created_before=2026-01-01T00:00:00", "created_before"),
        ("created_after=9999-12-31T23:59:59-14:00", "created_after"),
    ],
)
async def test_what_cannot_be_searched_is_refused_by_name(people: Account, query: str, field: str) -> None:
    refused = await people.client.get(f"{SUBJECTS}?{query}")
    assert problem(refused) == "422 invalid_parameter"
    assert refused.json()["errors"][0]["field"] == field


async def test_metadata_filters_are_refused_elsewhere(people: Account) -> None:
    for path in ("/collections", f"{SUBJECTS}/emp-1042/faces", "/collections/default/faces", "/audit"):
        refused = await people.client.get(path, params={"metadata.site": "berlin"})
        assert problem(refused) == "422 invalid_parameter", path


# --- any strategy finds the same -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def small_sorts() -> AsyncIterator[None]:
    """So few matches are sorted, and subjects read, that a small collection has filters of every kind."""
    before = subject_search._MAX_SORTED, subject_search._MAX_READ
    subject_search._MAX_SORTED, subject_search._MAX_READ = 6, 12
    yield
    subject_search._MAX_SORTED, subject_search._MAX_READ = before


ROWS = [
    (f"s{index:03}-{'odd' if index % 2 else 'even'}", f"Name{index % 5} Zoë{index}", {"m": index % 3, "n": index % 11})
    for index in range(60)
]


@pytest.fixture(scope="module")
async def many(database: Database) -> tuple[Any, Any]:
    tenant_id, collection_id = await make_tenant(database)
    async with database.transaction(tenant_id) as session:
        rows = SubjectRepository(session, tenant_id)
        for subject, name, metadata in ROWS:
            await rows.add(collection_id, subject, name, metadata)
    return tenant_id, collection_id


@given(
    words=st.lists(st.sampled_from(["odd", "even", "name1", "name", "zoe1", "zoe59", "s0", "zz"]), max_size=2),
    metadata=st.dictionaries(st.sampled_from(["m", "n"]), st.sampled_from(["0", "1", "9"]), max_size=2),
    after=st.none() | st.sampled_from([row[0] for row in ROWS]),
    limit=st.integers(1, 20),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_strategy_finds_what_a_look_at_each_subject_finds(
    small_sorts: None,
    many: tuple[Any, Any],
    database_url: str,
    words: list[str],
    metadata: dict[str, str],
    after: str | None,
    limit: int,
) -> None:
    expected = [
        subject
        for subject, name, held in ROWS
        if (after is None or subject > after)
        and all(
            any(
                one.startswith(word)
                for one in f"{subject}-{name}".lower().replace("ë", "e").replace(" ", "-").split("-")
            )
            for word in words
        )
        and all(str(held.get(key)) == value for key, value in metadata.items())
    ][:limit]

    async def search() -> list[str]:
        database = Database(database_url, pool_size=1)
        try:
            async with database.transaction(many[0]) as session:
                filters = SubjectFilter(words, metadata)
                return await SubjectSearch(session, many[0]).find(many[1], filters, after, limit)
        finally:
            await database.close()

    assert asyncio.run(search()) == expected


async def test_times_filter_by_every_strategy(small_sorts: None, many: tuple[Any, Any], database: Database) -> None:
    tenant_id, collection_id = many
    async with database.transaction(tenant_id) as session:
        await session.execute(
            text(
                "UPDATE subjects SET created_at = timestamptz '2026-01-01 00:00Z' + substr(subject, 2, 3)::int "
                "* interval '1 day' WHERE collection_id = :id"
            ),
            {"id": collection_id},
        )
        search = SubjectSearch(session, tenant_id)
        few = SubjectFilter(created_after=datetime(2026, 2, 25, tzinfo=UTC))
        assert await search.find(collection_id, few, None, 50) == [row[0] for row in ROWS[56:]]
        most = SubjectFilter(["odd"], created_before=datetime(2026, 2, 25, tzinfo=UTC))
        assert await search.find(collection_id, most, None, 50) == [row[0] for row in ROWS[1:55:2]]


async def test_the_openapi_document_describes_the_filters(people: Account) -> None:
    document = (await people.client.get("http://vultus/openapi.json")).json()
    operation = operations_of(document)["GET /api/v1/collections/{collection}/subjects"]
    named = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert {"q", "created_after", "created_before", "metadata.KEY", "limit", "cursor", "collection"} <= set(named)
    assert named["metadata.KEY"]["style"] == "form"
    others = json.dumps([item for path, item in document["paths"].items() if not path.endswith("/subjects")])
    assert "metadata.KEY" not in others
