"""Download over HTTP as servers that fetch for others must: no redirects, no proxies, no endless bodies."""

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress

import httpx

from app.services.outbound.addresses import Address, Origin, pin

_MAX_ADDRESSES = 3
"""Addresses of a name to try."""


class BodyTooLarge(Exception):
    """The body has more bytes than allowed."""


def open_client(
    timeout: httpx.Timeout, *, reuses_connections: bool = True, verify: ssl.SSLContext | bool = True
) -> httpx.AsyncClient:
    """Return a client that follows no redirects and ignores proxies in the environment."""
    limits = httpx.Limits() if reuses_connections else httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=timeout, limits=limits, verify=verify)


async def send_pinned(
    client: httpx.AsyncClient,
    method: str,
    target: tuple[httpx.URL, Origin],
    addresses: Sequence[Address],
    headers: Mapping[str, str],
    body: bytes = b"",
) -> httpx.Response:
    """Send a request to the first of a host's addresses that accepts a connection; the body is still to be read.

    Raises httpx's errors, those of the last address if none accepts. `client` must reuse connections for one host only:
    another one may have the same address.
    """
    chosen = addresses[:_MAX_ADDRESSES]
    for address in chosen[:-1]:
        with suppress(httpx.ConnectError, httpx.ConnectTimeout):
            return await client.send(pin(method, *target, address, headers, body), stream=True)
    return await client.send(pin(method, *target, chosen[-1], headers, body), stream=True)


async def read_body(response: httpx.Response, max_bytes: int) -> bytes:
    """Read a streamed body as it was sent; raises `BodyTooLarge` as soon as it exceeds `max_bytes`."""
    read = bytearray()
    async for chunk in stream_body(response, max_bytes):
        read += chunk
    return bytes(read)


async def stream_body(response: httpx.Response, max_bytes: int) -> AsyncIterator[bytes]:
    """Yield a streamed body as it was sent; raises `BodyTooLarge` as soon as it exceeds `max_bytes`."""
    declared = response.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > max_bytes:
        raise BodyTooLarge
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > max_bytes:
            raise BodyTooLarge
        yield chunk
