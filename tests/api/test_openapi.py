"""What the OpenAPI document tells people and code generators."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from app.main import create_app
from app.routes.photo_paths import IMAGE_PATHS
from tests.openapi import operations_of


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app().openapi()


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return operations_of(document)


def test_operation_ids_are_single_words_of_the_api(operations: dict[str, dict[str, Any]]) -> None:
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+){0,3}", name) for name in ids), ids
    assert operations["POST /api/v1/recognize"]["operationId"] == "recognize"


def test_every_operation_has_a_summary_and_a_description(operations: dict[str, dict[str, Any]]) -> None:
    for name, operation in operations.items():
        assert operation["summary"], name
        assert operation.get("description", "").endswith("."), name


def test_tags_are_described_and_in_the_order_of_the_operations(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    used = dict.fromkeys(tag for operation in operations.values() for tag in operation["tags"])
    assert [tag["name"] for tag in document["tags"]] == list(used)
    assert all(tag["description"].endswith(".") for tag in document["tags"])
    assert document["servers"] == [{"url": "/", "description": "This server"}]


def fields_without_example(schema: dict[str, Any], components: dict[str, Any], at: str) -> Iterator[str]:
    """The fields of a response for which Swagger UI would make up a value."""
    if schema.keys() & {"examples", "default", "enum", "const"}:
        return
    if "$ref" in schema:
        yield from fields_without_example(components[schema["$ref"].rsplit("/", 1)[-1]], components, at)
    elif "anyOf" in schema:
        for option in schema["anyOf"]:
            if option.get("type") != "null":
                yield from fields_without_example(option, components, at)
    elif "properties" in schema:
        for name, part in schema["properties"].items():
            yield from fields_without_example(part, components, f"{at}.{name}")
    elif "items" in schema:
        yield from fields_without_example(schema["items"], components, f"{at}[]")
    else:
        yield at


def test_every_successful_response_has_real_examples(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    checked = 0
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values() if status < "300" else ():
                if "schema" in content:
                    schemas = document["components"]["schemas"]
                    assert list(fields_without_example(content["schema"], schemas, name)) == []
                    checked += 1
    assert checked > 50


def examples_within(part: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield every example in a part of the document, with its schema."""
    if isinstance(part, dict):
        if isinstance(part.get("examples"), list):
            yield from ((example, part) for example in part["examples"])
        for name, value in part.items():
            if name not in ("examples", "example", "default"):
                yield from examples_within(value)
    elif isinstance(part, list):
        for value in part:
            yield from examples_within(value)


def test_every_example_is_valid(document: dict[str, Any], operations: dict[str, dict[str, Any]]) -> None:
    components, checked = {"components": document["components"]}, 0
    for example, schema in examples_within(document):
        jsonschema.validate(example, {**schema, **components})
        checked += 1
    for operation in operations.values():
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                if "example" in content:
                    jsonschema.validate(content["example"], {**content["schema"], **components})
                    checked += 1
    assert checked > 500


def test_the_example_of_a_json_body_has_its_required_fields_only(
    document: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    components = document["components"]["schemas"]
    for name, operation in operations.items():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body:
            schema = body["schema"]
            schema = components[schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
            # No photo is required, since its URL may be sent instead; the example has the photo.
            required = [*photo_fields(schema), *schema.get("required", ())]
            assert sorted(body["example"]) == sorted(required), name
            jsonschema.validate(body["example"], {**schema, "components": document["components"]})


def photo_fields(schema: dict[str, Any]) -> list[str]:
    return [name for name, part in schema.get("properties", {}).items() if "contentEncoding" in part.get("items", part)]


def test_the_bodies_of_photo_routes_are_plain_objects(operations: dict[str, dict[str, Any]]) -> None:
    """Client generators read alternatives in a body as a body without fields, and several answers as none."""
    for name in sorted(IMAGE_PATHS):
        operation = operations[f"POST {name}"]
        for content in operation["requestBody"]["content"].values():
            assert content["schema"]["type"] == "object"
            assert not content["schema"].keys() & {"oneOf", "anyOf", "allOf"}
        answers = [response["content"] for status, response in operation["responses"].items() if status < "300"]
        assert len({str(answer["application/json"]["schema"]) for answer in answers}) == 1
        assert all("$ref" in answer["application/json"]["schema"] for answer in answers)


def test_the_examples_of_errors_fit_the_route(operations: dict[str, dict[str, Any]]) -> None:
    def code(name: str, status: str) -> str:
        content = operations[name]["responses"][status]["content"]
        found: str = content["application/problem+json"]["example"]["code"]
        return found

    assert code("POST /api/v1/recognize", "422") == "image_unreadable"
    assert code("POST /api/v1/verify", "422") == "no_face"
    assert code("POST /api/v1/auth/signup", "422") == "invalid_parameter"
    assert code("GET /api/v1/keys/{key_id}", "404") == "key_not_found"
    assert code("GET /api/v1/users/{user_id}", "404") == "user_not_found"
    assert code("GET /api/v1/operator/tenants/{tenant_id}", "404") == "tenant_not_found"
    assert code("GET /api/v1/object-store", "404") == "object_store_not_found"
