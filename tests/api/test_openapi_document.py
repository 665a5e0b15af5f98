"""The OpenAPI document as a file: the same bytes each time, small, and readable for linters and client generators."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.main import create_app
from tests.openapi import operations_of, references, resolve

DOCUMENT = "http://vultus/openapi.json"
SHARED = ("headers", "parameters", "responses", "schemas")
"""The kinds of components that something must refer to; security schemes are named instead."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app().openapi()


def schemas_within(part: Any, at: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object in a part of the document that may be a schema, with its place."""
    if isinstance(part, dict):
        yield at, part
        for name, value in part.items():
            if name not in ("example", "examples", "default"):
                yield from schemas_within(value, f"{at}/{name}")
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from schemas_within(value, f"{at}/{index}")


async def test_who_has_the_document_receives_none(anonymous: httpx.AsyncClient) -> None:
    first = await anonymous.get(DOCUMENT)
    assert (first.status_code, first.headers["content-type"]) == (200, "application/json")
    again = await anonymous.get(DOCUMENT)
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    for sent in (first.headers["etag"], f'W/{first.headers["etag"]}, "other"'):
        known = await anonymous.get(DOCUMENT, headers={"if-none-match": sent})
        assert (known.status_code, known.content) == (304, b"")
        assert known.headers["etag"] == first.headers["etag"]
    other = await anonymous.get(DOCUMENT, headers={"if-none-match": '"other"'})
    assert other.content == first.content


async def test_the_document_states_what_operations_share_once(anonymous: httpx.AsyncClient) -> None:
    sent = (await anonymous.get(DOCUMENT)).content
    document = json.loads(sent)
    assert len(sent) < 3_500 * sum(map(len, document["paths"].values()))
    paths = json.dumps(document["paths"])
    assert "application/problem+json" not in paths
    assert paths.count('"idempotency-key"') == paths.count('"x-request-id", "in"') == 0


def test_the_document_says_who_answers_for_it(document: dict[str, Any]) -> None:
    info = document["info"]
    assert info["contact"]["name"]
    assert info["license"] == {"name": "MIT", "identifier": "MIT"}
    assert info["description"]


def test_every_component_is_used_and_every_reference_has_one(document: dict[str, Any]) -> None:
    components = document["components"]
    there = {f"#/components/{kind}/{name}" for kind in SHARED for name in components[kind]}
    assert set(references(document)) == there
    required = [one for operation in operations_of(document).values() for one in operation.get("security", ())]
    assert {name for one in required for name in one} == components["securitySchemes"].keys()


def test_every_path_parameter_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations_of(document).items():
        parameters = operation["parameters"]
        in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        assert all(f"{{{parameter}}}" in name for parameter in in_path), name
        assert name.count("{") == len(in_path), name
        assert len({(parameter["name"], parameter["in"]) for parameter in parameters}) == len(parameters), name


def test_every_array_has_items(document: dict[str, Any]) -> None:
    """Spectral's rule `array-items`; many generators skip an operation without them."""
    for at, schema in schemas_within(document):
        if schema.get("type") == "array":
            assert "items" in schema, at


def test_patterns_need_no_flag(document: dict[str, Any]) -> None:
    """ECMAScript without the flag `u` refuses a class with a range of characters beyond U+FFFF."""
    for at, schema in schemas_within(document):
        if isinstance(schema.get("pattern"), str):
            assert max(schema["pattern"]) <= "\uffff", at


def test_no_schema_refers_to_itself(document: dict[str, Any]) -> None:
    """openapi-python-client leaves out operations with such a schema."""

    def check(part: Any, above: tuple[str, ...]) -> None:
        for reference in set(references(part)):
            assert reference not in above, above
            check(resolve(document, {"$ref": reference}), (*above, reference))

    check(document["components"]["schemas"], ())


def test_every_enumeration_is_of_its_type(document: dict[str, Any]) -> None:
    """Spectral's rule `typed-enum`."""
    types: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "null": type(None),
    }
    for at, schema in schemas_within(document):
        if isinstance(schema.get("enum"), list) and "type" in schema:
            named = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            assert all(any(isinstance(value, types[name]) for name in named) for value in schema["enum"]), at
            assert len(set(schema["enum"])) == len(schema["enum"]), at


LISTS_BY_NUMBER = {
    "GET /api/v1/events": ("after", "last_seq"),  # new events are always added: there is no last page to end with
}
"""The lists that go on after a number, which receivers also know from messages and streams, instead of a cursor."""
SHORT_LISTS = {"GET /api/v1/auth/sessions"}
"""The lists that end after 100: somebody who looks for a session looks for one of the newest."""


def test_every_list_of_items_comes_in_pages(document: dict[str, Any]) -> None:
    paged = []
    for name, operation in operations_of(document).items():
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/json")
            if not name.startswith("GET ") or not status.startswith("2") or content is None:
                continue
            schema = resolve(document, content["schema"])
            assert schema.get("type") != "array", name
            if "items" in schema.get("properties", {}) and name not in SHORT_LISTS:
                parameters = {parameter["name"] for parameter in operation["parameters"]}
                position, following = LISTS_BY_NUMBER.get(name, ("cursor", "next_cursor"))
                assert {"limit", position} <= parameters, name
                assert following in schema["required"], name
                paged.append(name)
    assert len(paged) >= 11
    assert set(LISTS_BY_NUMBER) <= set(paged)
