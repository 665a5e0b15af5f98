"""Clients that are answered while they still send: they get the whole answer, and their connection is not reset."""

import json
import os
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.cli.test_serve import sign_up
from tests.servers import serving

SIZE = 4_000_000
BOUNDARY = b"XX"


@pytest.fixture(scope="module")
def service(data_dir: Path, service_url: str, synthetic_pack: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A server's address, and headers to call it as an admin."""
    env = {
        "VULTUS_DATA_DIR": str(data_dir),
        "VULTUS_DATABASE_URL": service_url,
        "VULTUS_MODEL_PACK": str(synthetic_pack),
        "VULTUS_PUBLIC_RATE": "100000/minute",
        "VULTUS_LOG_LEVEL": "error",
    }
    with serving(**env) as (base, _):
        yield base.removeprefix("http://"), sign_up(f"{base}/api/v1")[1]


def malformed(chance: random.Random) -> bytes:
    """A multipart body of about 4 MB that is wrong in one or more places."""
    names = ["image", "images", "file", "subject", "source"]
    body = bytearray()
    for _ in range(chance.randint(1, 4)):
        body += b"--" + BOUNDARY + b"\r\n"
        body += f'Content-Disposition: form-data; name="{chance.choice(names)}"; filename="a"\r\n\r\n'.encode()
        body += chance.randbytes(SIZE // 4) + b"\r\n"
    body += b"--" + BOUNDARY + b"--\r\n"
    body += chance.randbytes(max(0, SIZE - len(body)))
    for _ in range(chance.randint(1, 5)):
        at = chance.choice([chance.randrange(200), chance.randrange(len(body))])
        match chance.randrange(4):
            case 0:
                body[at : at + chance.randint(1, 50)] = b""
            case 1:
                body[at:at] = chance.choice([b"\0", b"\r", b"\n", b"--XX", b"--XX--", b":", b"\r\n\r\n"])
            case 2:
                body[at] = chance.randrange(256)
            case _:
                del body[-chance.randint(1, 100) :]
    return bytes(body)


def request(chance: random.Random, host: str, credentials: dict[str, str]) -> bytes:
    body = malformed(chance)
    path = chance.choice(["detect", "recognize", "register", "compare", "unknown", "register/all"])
    version = chance.choice(["1.0", "1.1", "1.1"])
    headers = {"Host": host, "Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
    if chance.random() < 0.8:
        headers |= credentials
    if chance.random() < 0.5:
        headers["Connection"] = chance.choice(["close", "keep-alive"])
    if version == "1.1" and chance.random() < 0.3:
        headers["Transfer-Encoding"] = "chunked"
        pieces = [body[start : start + 100_000] for start in range(0, len(body), 100_000)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        if chance.random() < 0.5:  # a chunk that is none
            body = body[: chance.randrange(len(body))].rpartition(b"\r\n")[0] + b"\r\nnonsense\r\n" + body
    else:
        headers["Content-Length"] = str(len(body) - chance.choice([0, 0, 0, 1000, len(body) // 2]))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /api/v1/{path} HTTP/{version}\r\n{head}\r\n".encode() + body


def read_answer(client: socket.socket) -> tuple[str, bytes]:
    """Read one answer: its status and body, or what became of the connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (piece := client.recv(65536)):
            return "closed", received
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < length:
        if not (piece := client.recv(65536)):
            return "cut off", body
        body += piece
    return head.split()[1].decode(), body[:length]


def connect(host: str) -> socket.socket:
    name, port = host.split(":")
    return socket.create_connection((name, int(port)), timeout=30)


def outcome_of(host: str, credentials: dict[str, str], seed: int) -> str:
    """Send a whole request, then read the first answer."""
    with connect(host) as client:
        try:
            client.sendall(request(random.Random(seed), host, credentials))
            return read_answer(client)[0]
        except ConnectionError as exc:
            return type(exc).__name__


def test_malformed_bodies_are_answered(service: tuple[str, dict[str, str]]) -> None:
    seeds = range(int(os.environ.get("MALFORMED_BODIES", "40")))
    with ThreadPoolExecutor(4) as pool:
        outcomes = dict(zip(seeds, pool.map(partial(outcome_of, *service), seeds), strict=True))
    assert {seed: outcome for seed, outcome in outcomes.items() if not outcome.isdigit()} == {}
    assert {"401", "422"} <= set(outcomes.values())


def test_malformed_http_is_answered_before_the_close(service: tuple[str, dict[str, str]]) -> None:
    host, _ = service
    for head in ("POST / HTTP/1.1\r\nHost: a\r\nno header\r\n", "nonsense\r\n", "POST /a b HTTP/1.1\r\n"):
        with connect(host) as client:
            client.sendall(f"{head}\r\n".encode() + bytes(SIZE))
            status, body = read_answer(client)
            assert (status, json.loads(body)["code"]) == ("400", "malformed_http")
            assert client.recv(1) == b""


@pytest.mark.parametrize(
    ("version", "lengths", "said"),
    [
        ("1.1", ["Content-Length: 4", "Transfer-Encoding: chunked"], "Content-Length"),
        ("1.1", ["Transfer-Encoding: chunked", "Content-Length: 0"], "Content-Length"),
        ("1.1", ["transfer-encoding: Chunked", "content-length: 4"], "Content-Length"),
        ("1.0", ["Transfer-Encoding: chunked"], "HTTP/1.0"),
        ("1.1", ["Content-Length: 4", "Content-Length: 5"], ""),
        ("1.1", ["Transfer-Encoding: gzip"], ""),
    ],
)
def test_a_body_with_two_lengths_ends_the_connection(
    service: tuple[str, dict[str, str]], version: str, lengths: list[str], said: str
) -> None:
    """What follows could be the rest of the body or another request: nobody answers it."""
    host, _ = service
    follower = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"
    for body in (f"0\r\n\r\n{follower}", follower, ""):
        with connect(host) as client:
            fields = "\r\n".join([f"Host: {host}", *lengths])
            client.sendall(f"POST /api/v1/auth/signup HTTP/{version}\r\n{fields}\r\n\r\n{body}".encode())
            status, answer = read_answer(client)
            assert (status, json.loads(answer)["code"]) == ("400", "malformed_http")
            assert said in json.loads(answer)["detail"]
            assert client.recv(1) == b""


def test_a_well_formed_follower_is_answered(service: tuple[str, dict[str, str]]) -> None:
    host, _ = service
    with connect(host) as client:
        client.sendall(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() * 2)
        received = b""
        while received.count(b"HTTP/1.1 200") < 2:
            piece = client.recv(65536)
            assert piece
            received += piece
