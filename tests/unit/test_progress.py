"""Where nobody watches, a long command says from time to time how far it is."""

import pytest

from app.cli import progress


def test_a_log_hears_from_time_to_time_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress.show_progress() as shown:
        steps = shown.steps("Storing", 3)
        steps.advance()
        assert capsys.readouterr().err == ""  # not for each
        monkeypatch.setattr(progress, "_LOG_INTERVAL_S", 0.0)
        steps.advance()
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "Storing: 2 of 3\n")
