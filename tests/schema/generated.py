"""Requests generated from the OpenAPI document by schemathesis, and the disagreements that they find."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation.case import Case
from schemathesis.generation.drivers import CoverageGenerator
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.generation.overrides import Override

MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


def load(document: dict[str, Any]) -> Any:
    """Return schemathesis's schema of an OpenAPI document."""
    return schemathesis.openapi.from_dict(document)


def boundary_cases(operation: Any) -> Iterator[Case[Any]]:
    """Yield the cases at and just beyond each limit of the operation's schema; the same ones each time."""
    return iter(
        CoverageGenerator(
            operation=operation,
            generation_modes=MODES,
            generation_config=operation.schema.config.generation_for(operation=operation, phase="coverage"),
            auth_storage=None,
            override=Override(),
            feedback=NO_FEEDBACK,
        )
    )


def random_cases(operation: Any, count: int) -> list[Case[Any]]:
    """Return random cases, about half of which obey the schema; the same ones each time."""
    found: list[Case[Any]] = []
    if not count:
        return found
    strategy = st.one_of([operation.as_strategy(generation_mode=mode) for mode in MODES])

    @hypothesis.seed(1)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=strategy)
    def collect(case: Case[Any]) -> None:
        found.append(case)

    collect()
    return found


@dataclass(frozen=True)
class Disagreement:
    """A response that the document does not allow."""

    operation: str
    check: str
    role: str
    summary: str
    report: str


_ACCEPTED = ["2xx", "401", "403", "404", "409", "410", "413", "429"]
"""Statuses of a response to a request that obeys the schema; 422 needs a code or field listed in `exclusions.py`."""


def examine(case: Case[Any], role: str, response: Any, headers: dict[str, str]) -> Iterator[Disagreement]:
    """Run schemathesis's checks on a response."""
    try:
        case.validate_response(response, headers=headers, excluded_checks=[])
    except FailureGroup as group:
        failures = group.exceptions
    except Failure as failure:
        failures = (failure,)
    else:
        return
    for failure in failures:
        body = response.content[:1000].decode("utf-8", "replace")
        summary = f"{response.status_code} {failure.message}"
        yield Disagreement(
            case.operation.label, type(failure).__name__, role, summary, f"{case.as_curl_command()}\n{body}"
        )
