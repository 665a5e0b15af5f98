"""Move what operations of the OpenAPI document have in common into components, which keeps the document small."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

Operations = Sequence[dict[str, Any]]


def share_responses(operations: Operations) -> dict[str, Any]:
    """Replace error responses by references; returns the response components in the order of use.

    A component is named after the error's code: `image_unreadable` becomes `ImageUnreadable`. Raises `ValueError` if
    two different responses have the same code.
    """
    components: dict[str, Any] = {}
    for operation in operations:
        responses = operation["responses"]
        for status, response in responses.items():
            problem = response.get("content", {}).get("application/problem+json")
            if problem is None:
                continue
            name = _name_component(problem["example"]["code"])
            if components.setdefault(name, response) != response:
                raise ValueError(f"{name}: two different responses have this code.")
            responses[status] = {"$ref": f"#/components/responses/{name}"}
    return components


def share_parameters(operations: Operations) -> dict[str, Any]:
    """Replace repeated parameters by references; returns the parameter components in the order of use.

    Of different parameters with the same name, only the most frequent one becomes a component.
    """
    counts = Counter(_serialize(parameter) for operation in operations for parameter in operation.get("parameters", ()))
    chosen: dict[str, str] = {}
    for serialized, count in counts.most_common():
        if count > 1:
            chosen.setdefault(json.loads(serialized)["name"], serialized)
    components: dict[str, Any] = {}
    for operation in operations:
        parameters = operation.get("parameters", [])
        for index, parameter in enumerate(parameters):
            if chosen.get(parameter["name"]) == _serialize(parameter):
                name = _name_component(parameter["name"])
                components[name] = parameter
                parameters[index] = {"$ref": f"#/components/parameters/{name}"}
    return components


def _serialize(parameter: dict[str, Any]) -> str:
    return json.dumps(parameter, sort_keys=True)


def _name_component(name: str) -> str:
    return "".join(word.capitalize() for word in re.split("[_-]", name))
