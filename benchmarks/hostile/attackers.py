"""The floods that one tenant, or nobody, sends at a server; a process of their own runs one until it is told to stop.

    python -m benchmarks.hostile.attackers NAME PLAN

PLAN is a JSON file, see `Plan`. The process has the lowest priority, so that on a small machine it takes little
processor time from the server that it attacks, and connects from 127.0.0.2. It prints the statuses that it received as
JSON.
"""

import asyncio
import io
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

from benchmarks.bare_client import prepare
from benchmarks.photos import as_form
from benchmarks.serving import drawn_photo

ADDRESS = "127.0.0.2"
_SLOW_CONNECTIONS = 200
_NICE = 19


@dataclass
class Plan:
    """What an attacker knows: the API's address, an admin's headers, a tenant with tiny rates, and B's email."""

    api: str
    headers: dict[str, str]
    limited: dict[str, str]
    email: str
    large_subject: str

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))


class Attacker:
    """Sends requests over raw connections, and counts the answers by status."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._parts = urlsplit(plan.api)
        self.statuses = Counter[str]()
        self._has_begun = False

    def begin(self) -> None:
        """Say that the first request is sent now: making the requests may have taken seconds."""
        if not self._has_begun:
            self._has_begun = True
            print("begun", flush=True)

    async def run(self, name: str) -> None:
        """Attack until cancelled."""
        await ATTACKS[name](self)

    async def flood(self, requests: list[bytes], clients: int) -> None:
        """Send the requests over and over, from so many clients, each waiting for its answers."""
        await asyncio.gather(*(self._send_forever(requests, number) for number in range(clients)))

    async def _send_forever(self, requests: list[bytes], number: int) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._send_on_one_connection(requests, number)
            await asyncio.sleep(0.01)

    async def _send_on_one_connection(self, requests: list[bytes], number: int) -> None:
        reader, writer = await self._connect()
        try:
            while True:
                number += 1
                self.begin()
                self.statuses["sent"] += 1
                writer.write(requests[number % len(requests)])
                head = await reader.readuntil(b"\r\n\r\n")
                self.statuses[head.split(b" ", 2)[1].decode()] += 1
                await _read_body(reader, head.lower())
                if b"connection: close" in head.lower():
                    return
        finally:
            writer.close()

    async def drip(self, head: bytes) -> None:
        """Hold many connections that each send a byte of their body per second."""

        async def hold() -> None:
            while True:
                with suppress(OSError, asyncio.IncompleteReadError):
                    reader, writer = await self._connect()
                    self.begin()
                    self.statuses["sent"] += 1
                    writer.write(head)
                    while not reader.at_eof() and not writer.is_closing():
                        writer.write(b"x")
                        await writer.drain()
                        await asyncio.sleep(1)
                self.statuses["closed"] += 1
                await asyncio.sleep(0.05)

        await asyncio.gather(*(hold() for _ in range(_SLOW_CONNECTIONS)))

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
        return prepare(method, f"{self._plan.api}{path}", headers, body)

    def photo(self, path: str, image: bytes, headers: dict[str, str] | None = None) -> bytes:
        form, body = as_form(image, {})
        return self.request("POST", path, (headers or self.mine) | form, body)

    @property
    def mine(self) -> dict[str, str]:
        return self._plan.headers

    @property
    def plan(self) -> Plan:
        return self._plan

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = str(self._parts.hostname), int(self._parts.port or 80)
        return await asyncio.open_connection(host, port, local_addr=(ADDRESS, 0))


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> None:
    _, _, rest = head.partition(b"\r\ncontent-length:")
    if rest:
        await reader.readexactly(int(rest.split(b"\r\n", 1)[0]))


_JSON = {"content-type": "application/json"}


async def _json_imports(attacker: Attacker) -> None:
    """15 MB of JSON in the four forms that took longest: many faces, many brackets, many names, one long text."""
    start = b'{"collection":"default","subject":"%s","faces":['
    size = 15_000_000
    face = b'{"embedding":[' + b"0.1," * 511 + b'0.1],"a":"b"},'
    bodies = [
        start % b"a" + face * (size // len(face)) + b"{}]}",
        start % b"b" + b"{}," * (size // 3) + b"{}]}",
        start % b"c" + b"[" * size,
        b'{"faces":[],' + b'"a":1,' * (size // 6) + b'"b":1}',
        b'{"collection":"' + b"\\u0041" * (size // 6) + b'"}',
    ]
    requests = [attacker.request("POST", "/subjects/import", attacker.mine | _JSON, body) for body in bodies]
    await attacker.flood(requests, 4)


async def _photos(attacker: Attacker) -> None:
    await attacker.flood([attacker.photo("/recognize", drawn_photo(seed)) for seed in range(1, 5)], 24)


async def _slow_bodies(attacker: Attacker) -> None:
    whole = attacker.photo("/recognize", drawn_photo())
    await attacker.drip(whole[: whole.index(b"\r\n\r\n") + 200])


async def _large_photos(attacker: Attacker) -> None:
    """Photos of 50 megapixels and of as many as other formats may have; small files that take long to decode."""
    picture = Image.new("RGB", (7000, 7000), (120, 110, 100))
    picture.paste(Image.open(io.BytesIO(drawn_photo())).resize((2000, 2000)), (2000, 2000))
    photos = []
    for form, size, options in (
        ("JPEG", 7000, {}),
        ("JPEG", 5000, {"progressive": True}),
        ("PNG", 5900, {"compress_level": 1}),
        ("WEBP", 5500, {"lossless": True, "quality": 0, "method": 0}),
        ("TIFF", 5600, {"compression": "tiff_lzw"}),
    ):
        buffer = io.BytesIO()
        picture.resize((size, size)).save(buffer, form, **options)
        photos.append(attacker.photo("/detect", buffer.getvalue()))
    await attacker.flood(photos, 6)


async def _bad_credentials(attacker: Attacker) -> None:
    """Junk tokens and keys, and wrong passwords for another tenant's account and for unknown ones."""
    rng, requests = random.Random(1), []
    form = {"content-type": "application/x-www-form-urlencoded"}
    for number in range(200):
        junk = ".".join(f"{rng.getrandbits(400):x}" for _ in range(3))
        requests.append(attacker.request("GET", "/auth/me", {"authorization": f"Bearer {junk}"}))
        requests.append(attacker.request("GET", "/collections", {"x-api-key": f"vk_{'A' * 16}_{'B' * 43}"}))
        email = attacker.plan.email if number % 2 else f"{number}@example.com"
        body = f"username={email}&password=wrong{number}".encode()
        requests.append(attacker.request("POST", "/auth/token", form, body))
    await attacker.flood(requests, 16)


async def _exports(attacker: Attacker) -> None:
    path = f"/collections/default/subjects/{attacker.plan.large_subject}/export"
    await attacker.flood([attacker.request("GET", path, attacker.mine)], 8)


async def _many_parts(attacker: Attacker) -> None:
    """Forms of 60,000 tiny parts, of one part with 60,000 headers, and of names that repeat."""
    head = "multipart/form-data; boundary=x"
    part = b'--x\r\nContent-Disposition: form-data; name="a%d"\r\n\r\nb\r\n'
    bodies = [
        b"".join(part % number for number in range(60_000)) + b"--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n' + b"a: b\r\n" * 60_000 + b"\r\nb\r\n--x--\r\n",
        (part % 1) * 60_000 + b"--x--\r\n",
    ]
    headers = attacker.mine | {"content-type": head}
    await attacker.flood([attacker.request("POST", "/recognize", headers, body) for body in bodies], 8)


async def _refused(attacker: Attacker) -> None:
    """Requests of a tenant far above its rates, with photos and without."""
    limited = attacker.plan.limited
    photo = attacker.photo("/recognize", drawn_photo(), limited)
    listed = attacker.request("GET", "/collections", limited)
    await attacker.flood([photo, listed, listed], 16)


async def _only_burn(attacker: Attacker) -> None:
    """Keep a core busy without a request."""
    attacker.begin()
    while True:
        for _ in range(100_000):
            pass
        await asyncio.sleep(0)


CONTROL = "no requests, a busy core"

ATTACKS: dict[str, Callable[[Attacker], Awaitable[None]]] = {
    CONTROL: _only_burn,
    "JSON imports of 15 MB": _json_imports,
    "a flood of photos": _photos,
    "slow bodies": _slow_bodies,
    "photos of 50 megapixels": _large_photos,
    "junk tokens and wrong passwords": _bad_credentials,
    "exports of 2,000 faces": _exports,
    "forms with many parts": _many_parts,
    "requests above the rate limit": _refused,
}


async def _main(name: str, plan: Plan) -> None:
    attacker = Attacker(plan)
    task = asyncio.ensure_future(attacker.run(name))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with suppress(asyncio.CancelledError):
        await task
    print(json.dumps(attacker.statuses), flush=True)


if __name__ == "__main__":
    os.nice(_NICE)
    asyncio.run(_main(sys.argv[1], Plan(**json.loads(Path(sys.argv[2]).read_text()))))
