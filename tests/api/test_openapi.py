"""What the OpenAPI document tells people and code generators."""

import re
from typing import Any

import pytest

from app.main import create_app


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app().openapi()


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


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
