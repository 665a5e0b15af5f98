"""Send prepared HTTP/1.1 requests over kept connections with as little processor time of the client as possible."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Answers:
    """What the clients received: answers by status, the seconds of each that succeeded, and the time of all."""

    statuses: dict[int, int] = field(default_factory=dict)
    succeeded_s: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0

    @property
    def succeeded(self) -> int:
        return len(self.succeeded_s)


def prepare(method: str, url: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Return the bytes of a request."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {path} HTTP/1.1", f"host: {parts.netloc}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def send_all(address: tuple[str, int], requests: Sequence[bytes], *, clients: int) -> Answers:
    """Send each request once, over `clients` connections at the same time; each waits for its answer."""
    answers, waiting = Answers(), iter(requests)
    started = time.perf_counter()
    await asyncio.gather(*(_serve(address, waiting, answers) for _ in range(clients)))
    answers.elapsed_s = time.perf_counter() - started
    return answers


async def _serve(address: tuple[str, int], waiting: "object", answers: Answers) -> None:
    reader, writer = await asyncio.open_connection(*address)
    for request in waiting:  # type: ignore[attr-defined]
        started = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(_find_length(head))
        status = int(head.split(b" ", 2)[1])
        answers.statuses[status] = answers.statuses.get(status, 0) + 1
        if status < 400:
            answers.succeeded_s.append(time.perf_counter() - started)
        if b"\r\nconnection: close" in head:
            writer.close()
            reader, writer = await asyncio.open_connection(*address)
    writer.close()


def _find_length(head: bytes) -> int:
    _, _, rest = head.partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0])
