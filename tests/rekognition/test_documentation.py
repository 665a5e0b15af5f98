"""The documentation says of every operation whether it is answered."""

import re
from pathlib import Path

from app.rekognition.errors import _CODES, _SIGNATURE_CODES
from app.rekognition.operations import OPERATIONS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "rekognition.md").read_text()


def test_every_operation_is_in_the_table() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    answered = {name for line in rows if "| yes |" in line for name in re.findall(r"`([A-Z]\w+)`", line.split("|")[1])}
    refused = {name for line in rows if "| no |" in line for name in re.findall(r"`([A-Z]\w+)`", line.split("|")[1])}
    assert answered == set(OPERATIONS)
    assert not refused & answered


def test_every_error_is_explained() -> None:
    codes = {code for _, code in _CODES} | set(_SIGNATURE_CODES.values()) | {"InvalidSignatureException"}
    missing = {code for code in codes - {"RequestTimeoutException"} if f"`{code}`" not in TEXT}
    assert not missing
