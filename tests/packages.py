"""The packages of a npm lock file, installed once outside the repository."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

_NO_NETWORK = (
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ENETUNREACH",
    "EHOSTUNREACH",
    "ETIMEDOUT",
    "ERR_SOCKET_TIMEOUT",
    "ENOTCACHED",
)
"""What npm says where the registry cannot be reached."""


def find_node() -> tuple[str, str]:
    """Return the programs node and npm; skips the test where one is missing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are needed to run programs in JavaScript")
    return node, npm


def install(npm: str, project: Path, *options: str) -> Path:
    """Return a folder with the packages of the project's lock file, outside the repository.

    It is kept for the next run. Skips the test where npm cannot reach its registry.
    """
    lock = hashlib.sha256((project / "package-lock.json").read_bytes()).hexdigest()
    kept = Path(tempfile.gettempdir()) / f"vultus-tests-{project.name}-{lock[:16]}"
    if kept.is_dir():
        return kept
    command = [npm, "ci", *options, "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"]
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=f"{kept.name}-", ignore_cleanup_errors=True) as folder:
        made = Path(folder) / "made"
        made.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(project / name, made)
        try:
            done = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=240, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip("npm ci did not end in time: is there a network?")
        if done.returncode != 0:
            lacking = next((code for code in _NO_NETWORK if code in done.stderr), None)
            if lacking is not None:
                pytest.skip(f"npm ci could not reach its registry ({lacking}): no network")
            pytest.fail(f"npm ci failed: {done.stderr}")
        try:
            made.rename(kept)
        except OSError:
            assert kept.is_dir(), "only another run that was quicker may be in the way"
    return kept
