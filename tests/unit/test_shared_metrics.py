"""Who counts in which directory: a server deletes the counts of ended processes, not those of running workers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.shared_metrics import MULTIPROC_DIR, join_metrics, share_metrics
from app.settings import Settings


@pytest.fixture
def settings_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv(MULTIPROC_DIR, "")  # restored after the test
    monkeypatch.delenv(MULTIPROC_DIR)
    return Settings(data_dir=tmp_path)


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_server_keeps_the_counts_of_running_processes(settings_here: Settings, tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    running, ended = metrics / f"counter_{os.getpid()}.db", metrics / f"counter_{ended_process()}.db"
    running.touch()
    ended.touch()
    share_metrics(settings_here)
    assert os.environ[MULTIPROC_DIR] == str(metrics)
    assert running.exists()
    assert not ended.exists()


def test_a_worker_counts_beside_a_running_server_only(settings_here: Settings, tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    (metrics / f"counter_{ended_process()}.db").touch()
    join_metrics(settings_here)
    assert MULTIPROC_DIR not in os.environ
    (metrics / f"counter_{os.getpid()}.db").touch()
    join_metrics(settings_here)
    assert os.environ[MULTIPROC_DIR] == str(metrics)


def test_a_directory_of_the_environment_is_used_by_both(
    settings_here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "named"
    monkeypatch.setenv(MULTIPROC_DIR, str(named))
    join_metrics(settings_here)
    assert named.is_dir()
    share_metrics(settings_here)
    assert os.environ[MULTIPROC_DIR] == str(named)
