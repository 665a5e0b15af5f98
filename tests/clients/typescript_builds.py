"""The built TypeScript client with programs that use it, as people have it who installed it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import packages

_ROOT = Path(__file__).resolve().parents[2]
PACKAGE = _ROOT / "clients" / "typescript"
_PROGRAMS = Path(__file__).parent / "typescript_client"
_EXAMPLE = _ROOT / "examples" / "video_platform.mjs"


def run(
    *command: str | Path, text: str | None = None, env: dict[str, str] | None = None, directory: Path | None = None
) -> str:
    """Run a command and return its standard output; fails with all its output if it does."""
    words = [str(word) for word in command]
    merged = {**os.environ, **(env or {})}
    done = subprocess.run(
        words, input=text, env=merged, cwd=directory, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def building() -> Iterator[Path]:
    """Compile the client and the programs, strictly; yields their folder for the time of the block.

    Skips the test where node is missing or the registry of npm cannot be reached.
    """
    _, npm = packages.find_node()
    installed = packages.install(npm, PACKAGE)
    compiler = installed / "node_modules" / ".bin" / "tsc"
    with tempfile.TemporaryDirectory(dir=installed) as name:
        folder = Path(name)
        client = folder / "node_modules" / "vultus-client"
        shutil.copytree(PACKAGE / "src", client / "src")
        for file in ("package.json", "tsconfig.json"):
            shutil.copy(PACKAGE / file, client)
        run(compiler, "--project", client)
        shutil.rmtree(client / "src")  # it is not published
        shutil.copytree(_PROGRAMS, folder, dirs_exist_ok=True)
        shutil.copy(_EXAMPLE, folder)
        (folder / "package.json").write_text('{"type": "module"}')
        run(compiler, "--project", folder)
        yield folder
