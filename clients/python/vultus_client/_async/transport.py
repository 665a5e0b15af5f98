"""Send calls: sign in, retry, decode, follow pages. It knows no routes but those of tokens."""

import time
from collections.abc import AsyncIterator
from typing import Any, TypeVar, cast

import httpx

from vultus_client._async.concurrency import Lock, sleep
from vultus_client.calls import PAGE, Call, decode
from vultus_client.errors import ApiError, ConnectionLost
from vultus_client.models import TokenOut
from vultus_client.retries import Retries
from vultus_client.streams import EventParser, SentEvent

T = TypeVar("T")
_EARLY_S = 30.0
"""A token is replaced this long before it expires."""
_SILENCE_S = 90.0
"""A stream that sends nothing for so long, not even a comment, is lost."""


class AsyncTransport:
    """One connection pool with one caller's credentials."""

    def __init__(
        self, http: httpx.AsyncClient, retries: Retries, token: str | None, login: tuple[str, str] | None
    ) -> None:
        self.http = http
        self._retries = retries
        self._token = token
        self._login = login
        self._refresh_token: str | None = None
        self._valid_until = float("inf")
        self._lock = Lock()

    async def send(self, call: Call[T]) -> T:
        """Return the answer. Raises an `ApiError` of `vultus_client.problems`, or `ConnectionLost`."""
        return cast(T, decode(await self._perform(call)))

    async def pages(self, call: Call[T]) -> AsyncIterator[T]:
        """Yield the items of every page."""
        query = dict(call.query)
        while True:
            page = await self.send(Call[Any](call.method, call.path, query={"limit": PAGE, **query}))
            for item in page["items"]:
                yield item
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]

    async def stream(self, call: Call[Any]) -> AsyncIterator[SentEvent]:
        """Yield server-sent events until the stream ends or is cut off. Raises as `send` does if it cannot begin."""
        call.timeout_s = _SILENCE_S
        response = await self._perform(call, is_stream=True)
        parser = EventParser()
        try:
            async for line in response.aiter_lines():
                event = parser.feed(line)
                if event is not None:
                    yield event
        except httpx.TransportError:
            return
        finally:
            await response.aclose()

    async def _perform(self, call: Call[Any], *, is_stream: bool = False) -> httpx.Response:
        tries, is_lost, has_renewed = 0, False, False
        while True:
            tries += 1
            used = None if call.is_public else await self._authorize(call)
            try:
                response = await self.http.send(call.build(self.http), stream=is_stream)
                if is_stream and response.is_error:
                    await response.aread()
            except httpx.TransportError as exc:
                pause_s = self._retries.after_error(call, tries, exc)
                if pause_s is None:
                    raise ConnectionLost(f"{call.method} {call.path}: {exc or type(exc).__name__}") from exc
                is_lost = True
            else:
                if response.is_success:
                    return response
                if is_lost and call.method == "DELETE" and response.status_code == 404:
                    return httpx.Response(204)  # the lost try has deleted it
                if response.status_code == 401 and used is not None and not has_renewed and self._login is not None:
                    has_renewed = True
                    self._forget(used)
                    continue
                pause_s = self._retries.after_response(call, tries, response)
                if pause_s is None:
                    raise ApiError.of(response)
            await sleep(pause_s)

    async def _authorize(self, call: Call[Any]) -> str | None:
        """Add the credentials to a call; returns the token. Signs in, or refreshes the token, before it expires."""
        async with self._lock:
            if self._login is not None and (self._token is None or time.monotonic() > self._valid_until):
                await self._sign_in(*self._login)
            if self._token is not None:
                call.headers["authorization"] = f"Bearer {self._token}"
            return self._token

    async def _sign_in(self, email: str, password: str) -> None:
        tokens = await self._refresh()
        if tokens is None:
            form = {"username": email, "password": password}
            tokens = await self._obtain(Call("POST", "/auth/token", form=form, is_public=True, can_repeat=True))
        self._token, self._refresh_token = tokens["access_token"], tokens["refresh_token"]
        self._valid_until = time.monotonic() + max(0.0, tokens["expires_in"] - _EARLY_S)

    async def _refresh(self) -> TokenOut | None:
        """Return new tokens, or None if the refresh token is missing or no longer valid."""
        if self._refresh_token is None:
            return None
        sent = {"refresh_token": self._refresh_token}
        self._refresh_token = None  # each one works once
        try:
            return await self._obtain(Call("POST", "/auth/refresh", body=sent, is_public=True))
        except (ApiError, ConnectionLost):
            return None

    async def _obtain(self, call: Call[TokenOut]) -> TokenOut:
        return await self.send(call)

    def _forget(self, token: str) -> None:
        """Drop a token that the server does not take, unless another task has replaced it."""
        if self._token == token:
            self._token = None


class AsyncResource:
    """The routes about one kind of thing."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def _send(self, call: Call[T]) -> T:
        return await self._transport.send(call)

    def _pages(self, call: Call[T]) -> AsyncIterator[T]:
        return self._transport.pages(call)
