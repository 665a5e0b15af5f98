"""Logs: one line, with the request id, without secrets."""

import json
import logging
import time

import pytest

from app.telemetry import (
    StageTimes,
    accept_request_id,
    begin_last_stage,
    configure_logging,
    get_logger,
    request_id,
    stage_times,
    timed,
)


@pytest.mark.parametrize("offered", ["abc-1.2_3", "A" * 64])
def test_a_safe_request_id_is_taken_over(offered: str) -> None:
    assert accept_request_id(offered) == offered


@pytest.mark.parametrize("offered", [None, "", "a b", "x" * 65, "a\nb", "é", "<script>"])
def test_an_unsafe_request_id_is_replaced(offered: str | None) -> None:
    assert len(accept_request_id(offered)) == 32


def test_a_log_line_is_json_with_the_request_id_and_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    configure_logging("info", "json")
    try:
        token = request_id.set("req-1")
        get_logger("test").info("signed_in", password="hunter2", embedding=[0.1], user="ada")
        logging.getLogger("elsewhere").warning("plain %s", "words")
        request_id.reset(token)
    finally:
        logging.getLogger().handlers[:], _ = before
        logging.getLogger().setLevel(before[1])
    first, second = (json.loads(line) for line in capsys.readouterr().err.strip().splitlines())
    assert first["event"] == "signed_in"
    assert first["request_id"] == second["request_id"] == "req-1"
    assert first["password"] == first["embedding"] == "[removed]"
    assert first["user"] == "ada"
    assert second["event"] == "plain words"


def test_stages_exclude_what_their_inner_stages_take() -> None:
    times = StageTimes()
    token = stage_times.set(times)
    try:
        with timed("outer"):
            time.sleep(0.02)
            with timed("inner"):
                time.sleep(0.04)
        begin_last_stage("last")
    finally:
        stage_times.reset(token)
    parts = (part.split(";dur=") for part in times.as_server_timing().split(", "))
    spent = {name: float(value) for name, value in parts}
    assert spent.keys() == {"outer", "inner", "last", "total"}
    assert 20 <= spent["outer"] < spent["inner"]
    assert spent["total"] >= spent["outer"] + spent["inner"] + spent["last"]


def test_nothing_timed_is_no_header() -> None:
    with timed("unasked"):
        pass
    assert StageTimes().as_server_timing() == ""
