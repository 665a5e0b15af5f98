"""Send photos to an inference server and repeat what may be repeated; must never log a photo or an embedding.

Every call is stateless, so each may be repeated: while the server cannot be reached or answers 502, 503 or 504, until
the deadline. A photo whose processing broke the connection is repeated alone, so that it harms no other one.
"""

import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import ValidationError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_exponential_jitter

from app.errors import ImageRefused, InferenceUnavailable, OperatorError, PhotoHarmful
from app.ml.batching import Batcher
from app.ml.remote.wire import (
    MAX_PHOTOS,
    PHOTOS_TYPE,
    Answer,
    FoundInPhoto,
    PhotoAnswer,
    PhotoOrder,
    PhotoProblem,
    ServerInfo,
    pack_call,
)
from app.telemetry import get_logger
from app.telemetry.metrics import observe_inference

_log = get_logger(__name__)

_THIS_HOST = frozenset({"localhost", "127.0.0.1", "::1"})
_CONNECT_S = 5.0
_INFO_S = 10.0
_PROBE_S = 1.5
_MAX_CALL_BYTES = 32 * 1024 * 1024
"""Photos of one call; a larger photo is sent alone."""
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MAX_BREAKS = 3
"""A photo that was alone this often when the connection broke is refused."""
_PASSING = frozenset({502, 503, 504})
_BACKOFF = wait_exponential_jitter(multiplier=0.1, max=2.0, jitter=0.1)


@dataclass(frozen=True, slots=True)
class InferenceAddress:
    """Where an inference server is, and what both sides prove themselves by; files are in PEM."""

    url: str
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class _Item:
    """A photo that waits for its answer, until `deadline` of the monotonic clock."""

    order: PhotoOrder
    photo: bytes = field(repr=False)
    deadline: float


class InferenceFailed(Exception):
    """The server failed at a photo by an error of ours, as networks of this process would have."""


class _Passing(Exception):
    """The server cannot answer now; `retry_after_s` is its own wish."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        self.reason = reason
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class _Broken(Exception):
    """The connection broke while the server worked on the call."""


class InferenceClient:
    """Calls one inference server over pooled connections; thread-safe, and its methods block.

    A photo has an answer after `timeout_s`, or `InferenceUnavailable` is raised. `max_calls` calls run at a time; the
    photos that wait meanwhile share the next one. `expected_digest` is the pack's whose answers are accepted.
    """

    def __init__(self, address: InferenceAddress, *, timeout_s: float, max_calls: int, probe_s: float) -> None:
        self.url = address.url
        self.expected_digest: str | None = None
        self._timeout_s = timeout_s
        self._probe_s = probe_s
        self._max_photos, self._max_bytes = MAX_PHOTOS, _MAX_CALL_BYTES
        self._http = httpx.Client(
            base_url=address.url,
            headers={"authorization": f"Bearer {address.token}"} if address.token is not None else {},
            verify=_tls_context(address),
            limits=httpx.Limits(max_connections=max_calls + 2, max_keepalive_connections=max_calls),
            follow_redirects=False,
            trust_env=False,
        )
        self._batcher = Batcher(self._call, max_items=MAX_PHOTOS, max_parallel=max_calls)
        self._is_away = False
        self._heard_at = time.monotonic()
        self._probing = threading.Lock()

    @property
    def is_unencrypted(self) -> bool:
        """Whether photos would travel to another host in the clear."""
        return self._http.base_url.scheme == "http" and self._http.base_url.host not in _THIS_HOST

    def extract(self, order: PhotoOrder, photo: bytes) -> FoundInPhoto:
        """Return what the server found in a photo.

        Raises an `ImageRefused`, `InferenceUnavailable`, or `InferenceFailed`.
        """
        (found,) = self._batcher.run([_Item(order, photo, time.monotonic() + self._timeout_s)])
        if isinstance(found, Exception):
            raise found
        return found

    def get_info(self, timeout_s: float = _INFO_S) -> ServerInfo:
        """Return what the server has and accepts; raises `InferenceUnavailable`."""
        content = self._request("GET", "/info", None, timeout_s)
        try:
            info = ServerInfo.model_validate_json(content)
        except ValidationError:
            raise InferenceUnavailable("The inference server's description of itself is invalid.") from None
        self._max_photos = min(MAX_PHOTOS, info.limits.max_photos)
        self._max_bytes = min(_MAX_CALL_BYTES, info.limits.max_body_bytes)
        return info

    def is_away(self) -> bool:
        """Return whether the server is away, asking it if the last answer is old or was a failure; takes up to 1.5 s.

        While another thread asks, returns the last state.
        """
        is_fresh = not self._probe_s or time.monotonic() - self._heard_at < self._probe_s
        if (is_fresh and not self._is_away) or not self._probing.acquire(blocking=False):
            return self._is_away
        try:
            self._note(is_away=self._http.get("/readyz", timeout=_PROBE_S).status_code != 200)
        except httpx.HTTPError:
            self._note(is_away=True)
        finally:
            self._probing.release()
        return self._is_away

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _call(self, items: Sequence[_Item]) -> list[FoundInPhoto | Exception]:
        """Return an answer for each item; an item that cannot be answered has its error."""
        found: list[FoundInPhoto | Exception] = []
        for part in self._split(items):
            try:
                found += self._post(part)
            except _Broken:
                found += [self._call_alone(item) for item in part]
            except InferenceUnavailable as exc:
                found += [exc] * len(part)
        return found

    def _call_alone(self, item: _Item) -> FoundInPhoto | Exception:
        for _ in range(_MAX_BREAKS):
            try:
                (found,) = self._post([item])
            except InferenceUnavailable as exc:
                return exc
            except _Broken:
                # A refused certificate, or a server that ends, breaks every connection: no photo is to blame.
                try:
                    self.get_info(max(0.0, item.deadline - time.monotonic()))
                except InferenceUnavailable as exc:
                    return exc
            else:
                return found
        return PhotoHarmful(f"The inference server broke off {_MAX_BREAKS} times. The photo may be harmful.")

    def _split(self, items: Sequence[_Item]) -> Iterator[list[_Item]]:
        """Split items into calls that the server accepts."""
        part: list[_Item] = []
        size = 0
        for item in items:
            if part and (len(part) == self._max_photos or size + len(item.photo) > self._max_bytes):
                yield part
                part, size = [], 0
            part.append(item)
            size += len(item.photo)
        yield part

    def _post(self, items: Sequence[_Item]) -> list[FoundInPhoto | Exception]:
        left_s = min(item.deadline for item in items) - time.monotonic()
        if left_s <= 0:
            raise InferenceUnavailable(f"The photo waited {self._timeout_s:g} s for the inference server.")
        body = pack_call([item.order for item in items], [item.photo for item in items])
        content = self._request("POST", "/extract", body, left_s)
        try:
            answer = Answer.model_validate_json(content)
        except ValidationError:
            raise self._unavailable("The inference server's answer is invalid.") from None
        if answer.digest != self.expected_digest or len(answer.photos) != len(items):
            _log.error("inference_mismatch", url=self.url, digest=answer.digest, expected=self.expected_digest)
            raise self._unavailable("The inference server runs another model pack than this server.")
        return [_read_answer(one) for one in answer.photos]

    def _request(self, method: str, path: str, body: bytes | None, timeout_s: float) -> bytes:
        """Send a request until it is answered or the time is over.

        Raises `InferenceUnavailable`, and `_Broken` if the connection broke while the server worked.
        """
        deadline = time.monotonic() + timeout_s
        repeat = Retrying(
            retry=retry_if_exception_type(_Passing), wait=_wait, stop=stop_before_delay(timeout_s), reraise=True
        )
        try:
            content = repeat(self._send, method, path, body, deadline)
        except _Passing as exc:
            raise self._unavailable(f"The inference server {exc.reason}.", exc.retry_after_s) from exc
        self._note(is_away=False)
        observe_inference("answered")
        return content

    def _send(self, method: str, path: str, body: bytes | None, deadline: float) -> bytes:
        left_s = max(0.01, deadline - time.monotonic())
        timeout = httpx.Timeout(left_s, connect=min(left_s, _CONNECT_S))
        headers = {"content-type": PHOTOS_TYPE} if body is not None else {}
        try:
            with self._http.stream(method, path, content=body, headers=headers, timeout=timeout) as response:
                content = _read_within(response, deadline)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
            raise _Passing("cannot be reached") from exc
        except httpx.TimeoutException as exc:
            raise self._unavailable(f"The inference server did not answer in {self._timeout_s:g} s.") from exc
        except httpx.TransportError as exc:
            if body is None or isinstance(exc, httpx.WriteError):
                raise _Passing("closed the connection") from exc
            raise _Broken from exc
        if response.status_code in _PASSING:
            raise _Passing(f"answers {response.status_code}", _retry_after_s(response))
        if response.status_code != 200:
            raise self._unavailable(f"The inference server refused the call with status {response.status_code}.")
        return content

    def _unavailable(self, detail: str, retry_after_s: float = 1.0) -> InferenceUnavailable:
        self._note(is_away=True, detail=detail)
        observe_inference("unavailable")
        return InferenceUnavailable(detail, retry_after_s=max(1, round(retry_after_s)))

    def _note(self, *, is_away: bool, detail: str = "") -> None:
        """Remember whether the server answers, and log each change."""
        was_away, self._is_away, self._heard_at = self._is_away, is_away, time.monotonic()
        if is_away and not was_away:
            _log.warning("inference_away", url=self.url, detail=detail)
        elif was_away and not is_away:
            _log.info("inference_back", url=self.url)


def _read_answer(answer: PhotoAnswer) -> FoundInPhoto | Exception:
    return answer.found or _image_error(answer.problem)


def _image_error(problem: PhotoProblem | None) -> Exception:
    """Return the error that the server's networks would have raised here."""
    kinds = {kind.code: kind for kind in _descend(ImageRefused)}
    if problem is None or problem.code not in kinds:
        return InferenceFailed()
    return kinds[problem.code](problem.detail)


def _descend(kind: type[ImageRefused]) -> Iterator[type[ImageRefused]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _descend(narrower)


def _read_within(response: httpx.Response, deadline: float) -> bytes:
    """Read an answer before the deadline; raises `httpx.ReadTimeout`, and `httpx.ReadError` if it is too long."""
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the deadline has passed")
        if len(content) > _MAX_ANSWER_BYTES:
            raise httpx.ReadError("the answer is too long")
    return bytes(content)


def _wait(state: RetryCallState) -> float:
    """Wait as long as the server asks for, at least with a growing pause."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked_s = error.retry_after_s if isinstance(error, _Passing) else 0.0
    return max(asked_s, _BACKOFF(state))


def _retry_after_s(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _tls_context(address: InferenceAddress) -> ssl.SSLContext:
    """Build the context that checks the server, and shows it this side's certificate; raises `OperatorError`."""
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
    except OSError as exc:
        raise OperatorError(f"VULTUS_INFERENCE_CA_FILE: {address.ca_file} is no file of certificates: {exc}.") from exc
    if address.cert_file is not None:
        try:
            context.load_cert_chain(address.cert_file, address.key_file)
        except OSError as exc:
            raise OperatorError(
                f"VULTUS_INFERENCE_CERT_FILE and VULTUS_INFERENCE_KEY_FILE: {address.cert_file} and "
                f"{address.key_file} are not a certificate and its key: {exc}."
            ) from exc
    return context
