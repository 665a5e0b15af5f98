"""Build examples of request bodies: Swagger UI fills its editor with them, and sends what nobody has changed."""

from collections.abc import Mapping
from typing import Any


def build_example(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    """Return an example of the schema with its required fields only; raises `LookupError` for a field without one."""
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return build_example(components[schema["$ref"].rsplit("/", 1)[-1]], components)
    if "properties" in schema:
        return {name: build_example(schema["properties"][name], components) for name in schema.get("required", ())}
    if "items" in schema:
        return [build_example(schema["items"], components)] * schema.get("minItems", 0)
    raise LookupError(f"{schema.get('title')}: add `examples` to this field.")
