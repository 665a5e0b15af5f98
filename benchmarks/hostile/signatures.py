"""Alter requests of the Rekognition protocol after they were signed, and the signature itself."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx

from benchmarks.hostile.signed import PREFIX, sign

Send = Callable[[], httpx.Response]
_BODY = b'{"MaxResults": 5}'
_OPERATION = "ListCollections"


def alter_signatures(client: httpx.Client, key: tuple[str, str]) -> Iterator[tuple[str, Send]]:
    """Yield altered requests by name; raises `AssertionError` if the unaltered one is refused."""
    base = str(client.base_url).rstrip("/")
    good = {name.lower(): value for name, value in sign(base, _OPERATION, _BODY, key).items()}

    def send(headers: Any = (), body: bytes = _BODY, path: str = "/rekognition", drop: str = "") -> httpx.Response:
        changed = {**good, **dict(headers)}
        changed.pop(drop, None)
        return client.post(path, content=body, headers=changed)

    assert send().status_code == 200
    for name, text in _alter_authorization(good["authorization"]):
        yield f"authorization: {name}", partial(send, {"authorization": text})
    other = {name.lower(): value for name, value in sign(base, _OPERATION, _BODY, (key[0], "x" * 40)).items()}
    yield "another secret", partial(send, other)
    for header, value in {
        "x-amz-target": f"{PREFIX}.DeleteCollection",
        "x-amz-date": "20200101T000000Z",
        "host": "other.example",
        "x-amz-security-token": "t" * 40,
    }.items():
        yield f"{header} changed", partial(send, {header: value})
    for header in ("x-amz-target", "x-amz-date", "authorization"):
        yield f"{header} dropped", partial(send, drop=header)
    for body in (b"", b"{}", _BODY + b" ", _BODY.replace(b"5", b"6")):
        yield f"body {body!r}", partial(send, body=body)
    for path in ("/rekognition?x=1", "/rekognition?X-Amz-Signature=" + "0" * 64, "/rekognition/", "/%72ekognition"):
        yield f"path {path[:30]}", partial(send, path=path)
    for header in ("x-amz-target", "x-amz-date", "authorization"):
        for value in (good[header], "x"):
            twice = [*good.items(), (header, value)]
            yield (
                f"{header} twice ({'same' if value != 'x' else 'other'})",
                partial(client.post, "/rekognition", content=_BODY, headers=twice),
            )
    yield "native token", partial(send, {"authorization": "Bearer " + "x" * 40})


def _alter_authorization(text: str) -> Iterator[tuple[str, str]]:
    signature = re.search(r"Signature=([0-9a-f]{64})", text)
    assert signature is not None
    hexadecimal = signature[1]

    def signed(value: str) -> str:
        return text.replace(hexadecimal, value)

    yield "signature reversed", signed(hexadecimal[::-1])
    yield "signature of zeros", signed("0" * 64)
    yield "signature short", signed(hexadecimal[:-1])
    yield "signature long", signed(hexadecimal + "0")
    yield "signature empty", signed("")
    yield "signature in upper case", signed(hexadecimal.upper() if hexadecimal.upper() != hexadecimal else "A" * 64)
    for algorithm in ("AWS4-HMAC-SHA1", "AWS4-HMAC-SHA512", "AWS4-ECDSA-P256-SHA256", "AWS", "none"):
        yield f"algorithm {algorithm}", text.replace("AWS4-HMAC-SHA256", algorithm)
    yield "another access key", re.sub(r"Credential=[A-Za-z0-9]+", "Credential=" + "VK" + "A" * 18, text)
    yield "no access key", re.sub(r"Credential=[A-Za-z0-9]+", "Credential=", text)
    yield "another date", re.sub(r"/\d{8}/", "/20200101/", text)
    yield "another region", re.sub(r"/[a-z0-9-]+/rekognition/", "/us-west-2/rekognition/", text)
    yield "another service", text.replace("/rekognition/", "/s3/")
    yield "another terminator", text.replace("aws4_request", "aws5_request")
    for name, headers in {
        "none": "",
        "without host": "x-amz-date;x-amz-target",
        "without target": "host;x-amz-date",
        "without date": "host;x-amz-target",
        "unsorted": "x-amz-target;x-amz-date;host;content-type",
        "twice": "content-type;host;host;x-amz-date;x-amz-target",
        "one that is missing": "content-type;host;x-amz-date;x-amz-target;x-missing",
    }.items():
        yield f"signed headers: {name}", re.sub(r"SignedHeaders=[a-z;-]+", f"SignedHeaders={headers}", text)
    yield "two of them", f"{text}, {text}"
    yield "a space more", text.replace(", ", ",  ")
