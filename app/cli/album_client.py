"""Speak to a server about albums over its public API, patiently: a busy or restarted server is asked again."""

import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from app.errors import OperatorError

MAX_SELFIES = 5
_TIMEOUT_S = 60
_PATIENCE_S = 600.0
"""How long a server may refuse or miss every request before the command gives up."""
_PAUSE_S = 1.0
_POLL_S = 1.0
_PAGE = 500
_BUSY = (429, 503)


class Refused(Exception):
    """The server refused a request for good, with this status, code and detail."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


class AlbumClient:
    """Sends requests from any thread. Every method raises `Refused`, or `OperatorError` if the server is lost."""

    def __init__(self, url: str, key: str, *, connections: int = 1, patience_s: float = _PATIENCE_S) -> None:
        try:
            self._client = httpx.Client(
                base_url=f"{url.rstrip('/')}/api/v1",
                headers={"authorization": f"Bearer {key}"},
                timeout=_TIMEOUT_S,
                limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            )
        except UnicodeError:
            raise OperatorError("The API key contains characters outside ASCII.") from None
        except (ValueError, httpx.InvalidURL) as exc:
            raise OperatorError(f"--url {url!r}: {exc}") from exc
        self._url = url
        self._patience_s = patience_s
        self._has_answered = False
        self._answered_at = time.monotonic()
        """When the server last answered a request other than by 429 or 503."""
        self._ended = threading.Event()

    def close(self) -> None:
        self._client.close()

    def end(self) -> None:
        """Let waiting requests give up at once."""
        self._ended.set()

    def send(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Return the body of the response; empty if there is none.

        Repeats what the server refuses with 429 or 503, after the time that it asks for, and what the network loses.
        """
        while True:
            try:
                response = self._client.request(method, path, **request)
            except (httpx.TransportError, httpx.InvalidURL) as exc:
                reason = f"--url {self._url}: {exc or type(exc).__name__}"
                if not self._has_answered:  # rather a wrong address than a restart
                    raise OperatorError(reason) from exc
                self._wait(_PAUSE_S, reason)
                continue
            self._has_answered = True
            if response.status_code not in _BUSY:
                self._answered_at = time.monotonic()
                return _read(path, response)
            problem = _describe(path, response)
            self._wait(_read_retry_after(response), f"{problem.code}: {problem.detail}")

    def find(self, album: str) -> dict[str, Any]:
        return self.send("GET", f"/albums/{quote(album, safe='')}")

    def list_albums(self) -> Iterator[dict[str, Any]]:
        return self._pages("/albums", {})

    def list_videos(self, album: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the videos of an album, or all, in the order of arrival."""
        return self._pages("/videos", {"album": album} if album else {})

    def list_photos(self, album: str, state: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the photos of an album, or only those in one state, in the order of arrival."""
        return self._pages(f"/albums/{quote(album, safe='')}/photos", {"state": state} if state else {})

    def list_items(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the items of all pages of a list."""
        return self._pages(path, {})

    def put_photo(self, album: str, external_id: str, photo: bytes) -> None:
        """Send a photo; the same one again does nothing."""
        path = f"/albums/{quote(album, safe='')}/photos/{quote(external_id, safe='')}"
        self.send("PUT", path, files={"image": ("photo", photo, "application/octet-stream")})

    def search(self, album: str, selfies: list[bytes], fields: dict[str, str]) -> dict[str, Any]:
        """Return the response of a search with the photos of all its pages."""
        path, cursor, found = f"/albums/{quote(album, safe='')}/search", None, dict[str, Any]()
        files = [("images", ("photo", selfie, "application/octet-stream")) for selfie in selfies]
        while not found or cursor is not None:
            data = {**fields, "limit": "1000", **({"cursor": cursor} if cursor is not None else {})}
            page = self.send("POST", path, data=data, files=files)
            found = {**page, "items": [*found.get("items", ()), *page["items"]]}
            cursor = page["next_cursor"]
        return found

    def wait_until_processed(self, album: str) -> Iterator[dict[str, Any]]:
        """Yield the album's counts of photos about once a second, until none waits; the last ones are final."""
        seen, changed_at = None, time.monotonic()
        while True:
            counts: dict[str, Any] = self.find(album)["photos"]
            yield counts
            if not counts["received"] + counts["working"]:
                return
            if counts != seen:
                seen, changed_at = counts, time.monotonic()
            if time.monotonic() - changed_at > self._patience_s:
                raise OperatorError(
                    f"{counts['received'] + counts['working']} photos wait, and none was processed for "
                    f"{self._patience_s:g} s. Is a `vultus worker` running?"
                )
            time.sleep(_POLL_S)

    def _pages(self, path: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        cursor = None
        while True:
            page = self.send("GET", path, params={**query, "limit": _PAGE, **({"cursor": cursor} if cursor else {})})
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _wait(self, seconds: float, reason: str) -> None:
        """Wait before the next try; raises `OperatorError` with the reason if no try was answered for too long."""
        silent_s = time.monotonic() - self._answered_at
        if silent_s + seconds > self._patience_s or self._ended.wait(seconds):
            raise OperatorError(reason)


def _read(path: str, response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise _describe(path, response)
    try:
        body: dict[str, Any] = response.json() if response.content else {}
    except ValueError:
        raise _no_server(path, response) from None
    return body


def _describe(path: str, response: httpx.Response) -> Refused:
    try:
        problem = response.json()
        return Refused(response.status_code, str(problem["code"]), str(problem["detail"]))
    except (ValueError, KeyError, TypeError):
        if response.status_code in _BUSY:  # of a proxy before the server
            return Refused(response.status_code, "overloaded", f"{path}: status {response.status_code}")
        raise _no_server(path, response) from None


def _no_server(path: str, response: httpx.Response) -> OperatorError:
    return OperatorError(
        f"{path}: status {response.status_code} without JSON; is --url the address of a Vultus server?"
    )


def _read_retry_after(response: httpx.Response) -> float:
    try:
        return max(0.1, float(response.headers.get("retry-after", _PAUSE_S)))
    except ValueError:  # a date
        return _PAUSE_S
