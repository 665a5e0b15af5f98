"""Send signed messages to webhooks: over https, at public addresses that were checked, and nowhere else.

Redirects are not followed, and proxy settings of the environment are ignored. Answers are not read: only their status
counts.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Sequence
from datetime import timedelta

import httpx

from app.domain.events import StoredEvent
from app.errors import WebhookUrlNotAllowed
from app.persistence.repositories.webhook_deliveries import Outcome
from app.security.webhook_signatures import sign_message
from app.services.outbound.addresses import (
    Address,
    HostUnknown,
    Origin,
    UrlRefused,
    is_public,
    parse_url,
    read_origin,
    resolve,
    shorten_host,
)
from app.services.outbound.downloads import open_client, send_pinned
from app.telemetry.spans import current_traceparent

_TIMEOUT_S = 15.0
_CONNECT_TIMEOUT_S = 5.0
_MAX_RETRY_AFTER = timedelta(hours=1)
_GONE = 410


class WebhookHosts:
    """Decides where messages may be sent: https at public addresses, and the operator's list of internal receivers."""

    def __init__(self, internal: Sequence[str]) -> None:
        """Take entries such as `hooks.internal:8443` or `http://10.0.0.5:9000`."""
        self._internal = frozenset(read_origin(host) for host in internal)

    def check(self, text: str) -> tuple[httpx.URL, Origin]:
        """Return the parsed URL and its origin; raises `WebhookUrlNotAllowed`. A name's addresses are not checked."""
        try:
            url, origin = parse_url(text)
        except UrlRefused as exc:
            raise WebhookUrlNotAllowed(f"url: {exc}", field="url") from None
        if origin in self._internal:
            return url, origin
        if origin.scheme != "https":
            raise WebhookUrlNotAllowed("url: messages are sent over https only.", field="url")
        if origin.address is not None:
            self.check_addresses(origin, [origin.address])
        elif _is_number(origin.host):
            raise WebhookUrlNotAllowed("url: the host is neither a name nor an address.", field="url")
        return url, origin

    def check_addresses(self, origin: Origin, addresses: Sequence[Address]) -> None:
        """Raise `WebhookUrlNotAllowed` if one of the addresses is not public, unless the operator lists the host."""
        if origin not in self._internal and not all(map(is_public, addresses)):
            raise WebhookUrlNotAllowed(
                f"url: {shorten_host(origin.host)} has an address that is not public. The server's operator can add "
                "the host to VULTUS_WEBHOOK_INTERNAL_HOSTS.",
                field="url",
            )


class WebhookSender:
    """Sends messages; one per process."""

    def __init__(
        self,
        hosts: WebhookHosts,
        *,
        trace_hosts: Sequence[str] = (),
        timeout_s: float = _TIMEOUT_S,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        """`trace_hosts` are the receivers that are sent `traceparent`."""
        self.hosts = hosts
        self._traced = frozenset(read_origin(host) for host in trace_hosts)
        self._timeout_s = timeout_s
        # A connection to reuse could belong to another host at the same address.
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S))
        self._client = open_client(timeout, reuses_connections=False, verify=verify)

    async def send(self, url: str, signing_secrets: Sequence[str], event: StoredEvent) -> Outcome:
        """Send an event; never raises. The outcome holds no text of the receiver."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._send(url, signing_secrets, event)
        except (TimeoutError, httpx.TimeoutException):
            error = "timeout"
        except (WebhookUrlNotAllowed, UrlRefused):
            error = "address_not_allowed"
        except HostUnknown:
            error = "host_unknown"
        except (httpx.ConnectError, ssl.SSLError):
            error = "not_connected"
        except (httpx.HTTPError, httpx.InvalidURL):
            error = "protocol_error"
        return Outcome(is_delivered=False, error=error)

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, url: str, signing_secrets: Sequence[str], event: StoredEvent) -> Outcome:
        parsed, origin = self.hosts.check(url)
        addresses = await resolve(origin)
        self.hosts.check_addresses(origin, addresses)
        body = write_message(event)
        headers = sign_message(signing_secrets, f"evt_{event.id.hex}", int(time.time()), body)
        headers |= {"content-type": "application/json", "user-agent": "vultus"}
        traceparent = current_traceparent()
        if traceparent is not None and origin in self._traced:
            headers["traceparent"] = traceparent
        response = await send_pinned(self._client, "POST", (parsed, origin), addresses, headers, body)
        await response.aclose()
        return Outcome(
            is_delivered=response.is_success, status=response.status_code, retry_after=_read_retry_after(response)
        )


def write_message(event: StoredEvent) -> bytes:
    """Write an event as receivers get it."""
    message = {"type": event.type, "timestamp": event.at.isoformat(), "seq": event.seq, "data": dict(event.data)}
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def is_gone(outcome: Outcome) -> bool:
    """Return whether the receiver wants no further messages."""
    return outcome.status == _GONE


def _is_number(host: str) -> bool:
    """Return whether resolvers read the host as an address in another notation, such as `2130706433` or `0x7f.1`."""
    last = host.rstrip(".").rpartition(".")[2]
    return last.isdigit() or last.startswith("0x")


def _read_retry_after(response: httpx.Response) -> timedelta | None:
    value = response.headers.get("retry-after", "")
    if response.status_code not in (429, 503) or not (value.isascii() and value.isdigit()):
        return None
    return min(timedelta(seconds=int(value[:9])), _MAX_RETRY_AFTER)
