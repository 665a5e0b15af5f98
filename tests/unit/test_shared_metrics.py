"""Who counts in which directory: a server deletes the counts of ended processes, not those of running workers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.shared_metrics import MULTIPROC_DIR, join_metrics, share_metrics
from app.settings import Settings
from app.telemetry.process_names import process_name


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
    running, ended = metrics / f"counter_{process_name()}.db", metrics / f"counter_{ended_process()}.db"
    elsewhere = metrics / f"counter_otherhost-{ended_process()}.db"
    for file in (running, ended, elsewhere):
        file.touch()
    share_metrics(settings_here)
    assert os.environ[MULTIPROC_DIR] == str(metrics)
    assert running.exists()
    assert elsewhere.exists()
    assert not ended.exists()


def test_processes_of_the_same_id_on_two_hosts_count_in_files_of_their_own(tmp_path: Path) -> None:
    count = (
        "import platform, sys; platform.node = lambda: sys.argv[1]; import os; os.getpid = lambda: 7; "
        "from app.telemetry import metrics; metrics.observe_images(int(sys.argv[2])); print(metrics.expose().decode())"
    )
    env = {**os.environ, MULTIPROC_DIR: str(tmp_path)}
    for host, images, total in (("api", "2", "2.0"), ("worker_1", "3", "5.0"), ("api", "1", "6.0")):
        command = [sys.executable, "-c", count, host, images]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert f"vultus_images_total {total}\n" in done.stdout
    assert sorted(file.name for file in tmp_path.glob("counter_*")) == ["counter_api-7.db", "counter_worker1-7.db"]


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
