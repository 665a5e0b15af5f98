"""Requests generated from the OpenAPI document by schemathesis, and the disagreements that they find."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import AcceptedNegativeData, Failure, FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.case import Case
from schemathesis.generation.drivers import CoverageGenerator
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.generation.overrides import Override
from schemathesis.openapi.checks import RejectedPositiveData

from app.domain.text import has_invisible
from app.main import create_app
from tests.schema.exclusions import EMPTY_LIST, INVISIBLE, SEMANTIC_CODES, SEMANTIC_VALUES

_MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
_ACCEPTED = ["2xx", "401", "403", "404", "409", "410", "413", "429"]
"""Statuses of responses to requests that obey the schema, besides the 422 of `exclusions.py`."""


@cache
def operations() -> list[Any]:
    """Return schemathesis's operations of the app's OpenAPI document."""
    config = SchemathesisConfig.from_dict({"checks": {"positive_data_acceptance": {"expected-statuses": _ACCEPTED}}})
    schema = schemathesis.openapi.from_dict(create_app().openapi(), config=config)
    found: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    return found


@cache
def cases_of(index: int, random: int) -> Sequence[Case[Any]]:
    """Return the cases of an operation: at and just beyond each limit of its schema, and `random` others.

    They are the same ones each time. About half of them obey the schema.
    """
    operation = operations()[index]
    boundaries = CoverageGenerator(
        operation=operation,
        generation_modes=_MODES,
        generation_config=operation.schema.config.generation_for(operation=operation, phase="coverage"),
        auth_storage=None,
        override=Override(),
        feedback=NO_FEEDBACK,
    )
    return [*boundaries, *_random_cases(operation, random)]


def _random_cases(operation: Any, count: int) -> list[Case[Any]]:
    found: list[Case[Any]] = []

    @hypothesis.seed(1)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=st.one_of([operation.as_strategy(generation_mode=mode) for mode in _MODES]))
    def collect(case: Case[Any]) -> None:
        found.append(case)

    collect()
    return found


def obeys_path(case: Case[Any]) -> bool:
    """Whether the parameters in the path are not what is wrong with the case."""
    return case.meta is not None and not case.meta.is_negative_at(ParameterLocation.PATH)


@dataclass(frozen=True)
class Disagreement:
    """A response that the document does not allow."""

    kind: str
    """The operation and the check."""
    report: str


def examine(case: Case[Any], response: Any, headers: dict[str, str]) -> Iterator[Disagreement]:
    """Run every check of schemathesis on a response, and yield what `exclusions.py` does not list."""
    try:
        case.validate_response(response, headers=headers)
    except FailureGroup as group:
        failures = [error for error in group.exceptions if isinstance(error, Failure)]
    except Failure as single:
        failures = [single]
    else:
        return
    for failure in failures:
        if isinstance(failure, RejectedPositiveData) and (_is_semantic(response) or _is_invisible(case, response)):
            continue
        if isinstance(failure, AcceptedNegativeData) and EMPTY_LIST in failure.message and _is_form(case):
            continue
        body = response.content[:1000].decode("utf-8", "replace")
        report = f"{response.status_code} {failure.message}\n{case.as_curl_command()[:2000]}\n{body}"
        yield Disagreement(f"{case.operation.label}: {type(failure).__name__}", report)


def _is_form(case: Case[Any]) -> bool:
    return case.media_type == "multipart/form-data"


def _is_invisible(case: Case[Any], response: Any) -> bool:
    """Whether a request was refused for an invisible character beyond U+FFFF, which no pattern names."""
    sent = json.dumps([case.body, case.query, case.path_parameters], ensure_ascii=False, default=str)
    return INVISIBLE in response.text and any(one > "\uffff" and has_invisible(one) for one in sent)


def _is_semantic(response: Any) -> bool:
    """Whether a request was refused for something that `exclusions.py` lists."""
    if response.status_code != 422:
        return False
    problem = response.json()
    if problem["code"] in SEMANTIC_CODES:
        return True
    errors = problem.get("errors") or [{"field": "", "detail": problem["detail"]}]
    return all(
        any(
            error["field"].partition(".")[0] == value.field and value.words in error["detail"]
            for value in SEMANTIC_VALUES
        )
        for error in errors
    )
