"""The attacks of `make prove-hostile`, a part of them: another tenant's ids, and altered credentials."""

from itertools import islice

import pytest

from benchmarks.hostile.credentials import MIN_ALTERATIONS, Forger
from benchmarks.hostile.matrix import Findings, Matrix
from benchmarks.hostile.protocol_matrix import ProtocolMatrix
from benchmarks.hostile.victim import Victim
from tests.schema.callers import Stage
from tests.schema.conftest import OPERATOR_TOKEN, SECRET
from tests.schema.generated import operations

STEP = 7
"""Of the matrix, every seventh call: it shares no factor with the number of callers."""


@pytest.fixture(scope="module")
def victim(stage: Stage, database_url: str) -> Victim:
    return Victim(stage, database_url, operator_token=OPERATOR_TOKEN)


def faults(findings: Findings) -> list[str]:
    return findings.shown + findings.changed + findings.failed + findings.unexpected


def test_no_caller_sees_or_changes_another_tenant(stage: Stage, victim: Victim) -> None:
    matrix = Matrix(stage, victim)
    documented = {operation.label for operation in operations()}
    assert {cell.route for cell in matrix.cells()} == documented
    assert not faults(matrix.check(islice(matrix.cells(), 0, None, STEP)))


def test_no_access_key_reaches_another_tenant(stage: Stage, victim: Victim) -> None:
    assert not faults(ProtocolMatrix(stage, victim).check({"all scopes": ["register", "recognize", "delete", "admin"]}))


def test_no_altered_credential_is_accepted(stage: Stage, victim: Victim) -> None:
    other = victim.tokens["access_token"]
    forger = Forger(stage.base, stage, secret=SECRET.encode(), email=stage.email, other_token=other)
    verdicts = forger.try_all()
    assert verdicts.kinds.total() >= MIN_ALTERATIONS
    assert not verdicts.accepted + verdicts.failed
