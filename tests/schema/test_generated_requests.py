"""The OpenAPI document and the API agree, for every role: schemathesis sends what the document allows, and what not.

`make test` sends a small part of the cases, `make test-schema` all of them as an admin and a sixth per other role.
"""

import os
from collections import defaultdict
from typing import Any
from uuid import uuid4

import pytest

from tests.schema.callers import ROLES, Caller, Stage
from tests.schema.exclusions import ENDLESS, OWN_CREDENTIALS
from tests.schema.generated import Disagreement, cases_of, examine, obeys_path, operations

SHARE = float(os.environ.get("SCHEMA_SHARE", "0.005"))
"""The share of an operation's cases that a role sends; an admin sends six times as many."""
RANDOM = int(os.environ.get("SCHEMA_RANDOM", "1"))
"""Random cases per operation, besides those at limits."""
POLICY = "/api/v1/policy"
PARTS = 4
"""An admin's cases are split, so that several processes can send them."""


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("role", "part", "parts"),
    [*(("admin", part, PARTS) for part in range(PARTS)), *((role, 0, 1) for role in ROLES if role != "admin")],
)
def test_responses_are_as_documented(stage: Stage, role: str, part: int, parts: int) -> None:
    step = max(1, round(1 / (SHARE * (6 if role == "admin" else 1))))
    caller, sent, found = stage.caller(role), 0, list[Disagreement]()
    for index in range(part, len(operations()), parts):
        path = operations()[index].path
        if path in ENDLESS:
            continue
        cases = cases_of(index, RANDOM)
        # Each role and operation begins at another case, so that together they send many different ones.
        chosen = range((index + ROLES.index(role)) % min(step, len(cases)), len(cases), step)
        known = stage.furnish(path)
        mine = stage.caller(role) if path in OWN_CREDENTIALS else caller
        for number in chosen:
            response, disagreements = send(stage, cases[number], mine, known if number % 2 else {})
            found += disagreements
            sent += 1
            if response.status_code < 300 and path in OWN_CREDENTIALS:
                mine.forget()
            if response.status_code < 300 and response.request.method == "DELETE":
                known = stage.furnish(path)
    print(f"{role}: {sent} requests")
    assert not found, summarize(found)


def send(stage: Stage, case: Any, caller: Caller, known: dict[str, str]) -> tuple[Any, list[Disagreement]]:
    """Send a case; its path names `known` things, if it may."""
    if known and obeys_path(case):
        case.path_parameters = known
    if known and "idempotency-key" in case.headers and obeys_path(case):
        case.headers["idempotency-key"] = uuid4().hex  # otherwise most requests would be told that it is in use
    if case.path == POLICY and isinstance(case.body, dict) and case.body.get("second_factor_required") is True:
        case.body["second_factor_required"] = False  # nobody of the tenant has one: it would refuse all that follows
    headers = caller.headers()
    response = case.call(base_url=stage.base, session=stage.session, headers=headers)
    return response, list(examine(case, response, headers))


def summarize(found: list[Disagreement]) -> str:
    """Return one example of each kind."""
    kinds = defaultdict[str, list[Disagreement]](list)
    for disagreement in found:
        kinds[disagreement.kind].append(disagreement)
    return "\n\n".join(f"{kind} ({len(some)} times)\n{some[0].report}" for kind, some in kinds.items())
