"""Fetch photos from URLs: only from hosts that the operator lists, and only at addresses that were checked.

Redirects are not followed, and proxy settings of the environment are ignored. A URL may hold a signature: no error and
no log contains its path or query.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from app.errors import ImageRefused, ImageTooLarge, ImageUrlNotAllowed, ImageUrlTimeout, ImageUrlUnreachable
from app.services.outbound.addresses import Address, HostUnknown, Origin, UrlRefused, resolve
from app.services.outbound.downloads import BodyTooLarge, open_client, read_body, send_pinned
from app.services.photos.allowed_hosts import AllowedHosts

_CONCURRENT = 4
"""Photos of one request that are fetched at the same time."""
_CONNECT_TIMEOUT_S = 5.0
_HEADERS = {"accept": "image/*", "accept-encoding": "identity", "user-agent": "vultus"}


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """The URL of a photo."""

    text: str = field(repr=False)


@dataclass(slots=True)
class _Budget:
    """The bytes that the photos of one request may still have together."""

    max_bytes: int
    remaining: int

    def limit(self, max_bytes: int) -> int:
        return min(max_bytes, self.remaining)

    def spend(self, size: int) -> None:
        if size > self.remaining:  # another photo of the request was fetched meanwhile
            raise BodyTooLarge
        self.remaining -= size


class ImageUrlFetcher:
    """Fetch photos from allowed hosts; one per process."""

    def __init__(
        self,
        allowed: AllowedHosts,
        *,
        max_bytes: int,
        max_request_bytes: int,
        timeout_s: float,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        """`max_request_bytes` and `timeout_s` are for all photos of one request."""
        self._allowed = allowed
        self._max_bytes = max_bytes
        self._max_request_bytes = max_request_bytes
        self._timeout_s = timeout_s
        # A connection to reuse could belong to another host at the same address.
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S))
        self._client = open_client(timeout, reuses_connections=False, verify=verify)

    async def fetch(self, url: ImageUrl) -> bytes:
        """Return the bytes of a photo.

        Raises `ImageUrlNotAllowed`, `ImageUrlUnreachable`, `ImageUrlTimeout` or `ImageTooLarge`.
        """
        (fetched,) = await self.fetch_each([url])
        if isinstance(fetched, ImageRefused):
            raise fetched
        return fetched

    async def fetch_each(self, urls: Sequence[ImageUrl]) -> list[bytes | ImageRefused]:
        """Return the bytes of the photos of one request, in order; one that cannot be fetched yields its error."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        budget = _Budget(self._max_request_bytes, self._max_request_bytes)
        results: dict[int, bytes | ImageRefused] = {}
        remaining = iter(enumerate(urls))

        async def fetch_remaining() -> None:
            for index, url in remaining:
                try:
                    async with asyncio.timeout_at(deadline):
                        results[index] = await self._fetch(url, budget)
                except ImageRefused as exc:
                    results[index] = exc
                except (TimeoutError, httpx.TimeoutException):
                    results[index] = ImageUrlTimeout(
                        f"the photo did not arrive within {self._timeout_s:g} s, the limit for a request's photos."
                    )

        workers = [asyncio.create_task(fetch_remaining()) for _ in range(min(_CONCURRENT, len(urls)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
        return [results[index] for index in range(len(urls))]

    async def close(self) -> None:
        await self._client.aclose()

    async def _fetch(self, url: ImageUrl, budget: _Budget) -> bytes:
        parsed, origin = self._allowed.check(url.text)
        addresses = await _resolve(origin)
        self._allowed.check_addresses(origin, addresses)
        try:
            response = await send_pinned(self._client, "GET", (parsed, origin), addresses, _HEADERS)
            return await self._download(response, budget)
        except httpx.TimeoutException:
            raise
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise _unreachable(exc) from None

    async def _download(self, response: httpx.Response, budget: _Budget) -> bytes:
        try:
            if response.status_code != 200:
                hint = ": redirects are not followed" if response.is_redirect else ""
                raise ImageUrlUnreachable(f"the host responds with status {response.status_code}{hint}.")
            data = await read_body(response, budget.limit(self._max_bytes))
            budget.spend(len(data))
        except BodyTooLarge:
            raise ImageTooLarge(
                f"the file is larger than the maximum of {self._max_bytes} bytes, or the photos of the request are "
                f"together larger than {budget.max_bytes} bytes."
            ) from None
        finally:
            await response.aclose()
        return data


async def _resolve(origin: Origin) -> list[Address]:
    """Return the addresses of a host; raises `ImageUrlUnreachable` or `ImageUrlNotAllowed`."""
    try:
        return await resolve(origin)
    except HostUnknown:
        raise ImageUrlUnreachable("the host's name has no address.") from None
    except UrlRefused as exc:
        raise ImageUrlNotAllowed(str(exc)) from None


def _unreachable(error: Exception) -> ImageUrlUnreachable:
    # Not the error's text: it may quote the URL.
    return ImageUrlUnreachable(f"the host does not respond as it should ({type(error).__name__}).")
