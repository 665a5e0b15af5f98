"""Helpers for the OpenAPI document."""

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]


def resolve(document: Document, part: Document) -> Document:
    """Return what a part of the document refers to, or the part itself if it is no reference."""
    while "$ref" in part:
        found: Any = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def operations_of(document: Document) -> dict[str, Document]:
    """Return the operations by `METHOD /path`, with their own parameters and responses in place of references."""
    return {
        f"{method.upper()} {path}": {
            **operation,
            "parameters": [resolve(document, parameter) for parameter in operation.get("parameters", ())],
            "responses": {status: resolve(document, answer) for status, answer in operation["responses"].items()},
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def references(part: Any) -> Iterator[str]:
    """Yield every reference in a part of the document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)
