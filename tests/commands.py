"""The `vultus` command as a process, without the seconds in which every process imports the same packages.

On Linux one process imports the command and is forked for each run. What runs is the whole command from its entry point
to the interpreter's end, with an environment, a directory, streams and an exit code of its own; only the imports are
done. Elsewhere, and wherever a test is about a process that starts, the installed program is started.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = Path(sys.executable).parent / "vultus"


class Commands:
    """Runs `vultus`, one at a time."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._imported: subprocess.Popen[str] | None = None

    def close(self) -> None:
        """End the process that imported the command, if any run made one."""
        if self._imported is not None:
            self._imported.communicate(timeout=10)

    def run(
        self, *arguments: str | Path, env: Mapping[str, str], directory: Path | None = None, timeout_s: float = 300
    ) -> "subprocess.CompletedProcess[str]":
        """What came of `vultus` with these arguments and, beside the tests' own environment, this one."""
        command, env = [str(PROGRAM), *map(str, arguments)], {**os.environ, **env}
        directory = directory or Path.cwd()
        if sys.platform != "linux":
            return subprocess.run(
                command, env=env, cwd=directory, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        with self._one_at_a_time, tempfile.TemporaryDirectory() as streams:
            out, err = Path(streams) / "out", Path(streams) / "err"
            status = self._fork(command, env, directory, out, err, timeout_s)
            return subprocess.CompletedProcess(command, status, out.read_text(), err.read_text())

    def _fork(
        self, command: list[str], env: Mapping[str, str], directory: Path, out: Path, err: Path, timeout_s: float
    ) -> int:
        if self._imported is None:
            self._imported = subprocess.Popen(
                [sys.executable, "-m", "tests.commands"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        orders, answers = self._imported.stdin, self._imported.stdout
        assert orders is not None
        assert answers is not None
        order = {
            "command": command,
            "env": dict(env),
            "directory": str(directory),
            "out": str(out),
            "err": str(err),
        }
        orders.write(json.dumps(order) + "\n")
        orders.flush()
        pid, is_late = int(answers.readline()), threading.Event()

        def end() -> None:
            is_late.set()
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

        timer = threading.Timer(timeout_s, end)
        timer.start()
        status = int(answers.readline())
        timer.cancel()
        if is_late.is_set():
            raise subprocess.TimeoutExpired(command, timeout_s, out.read_bytes(), err.read_bytes())
        return status


def _serve() -> None:
    """Import the command, then fork for every order that comes in; a child goes on as the command."""
    from app.cli import main

    gc.collect()
    gc.freeze()  # or the collections of every child copy the pages of what was imported
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
            main()
            return
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _become(order: dict[str, "str | list[str] | dict[str, str]"]) -> None:
    """Take over the environment, the directory, the arguments and the streams of an order."""
    command, env = order["command"], order["env"]
    assert isinstance(command, list)
    assert isinstance(env, dict)
    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, str(order["out"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, str(order["err"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(name, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(str(order["directory"]))
    sys.argv[:] = command
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the command's, to its end


if __name__ == "__main__":
    _serve()
