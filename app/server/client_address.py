"""Determine the address of a request's client, behind trusted proxies and on sockets that serve both IP versions."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

_NAT64 = IPv6Network("64:ff9b::/96")


class ClientAddress:
    """Sets each request's client: the peer, or the address that a trusted proxy names in `X-Forwarded-For`."""

    def __init__(self, app: ASGIApp, *, trusted_proxies: Sequence[str]) -> None:
        """`trusted_proxies` are networks; without any, `X-Forwarded-For` and `X-Forwarded-Proto` are ignored."""
        self._app: ASGIApp = app
        if trusted_proxies:
            self._app = ProxyHeadersMiddleware(app, list(trusted_proxies))  # type: ignore[arg-type, assignment]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("client"):
            host, port = scope["client"]
            address = read_address(host)
            # A socket on `::` reports a proxy at 10.0.0.1 as ::ffff:10.0.0.1.
            scope["client"] = (host if address is None else str(address), port)
        await self._app(scope, receive, send)


def read_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return an IP address, IPv4 also where IPv6 only carries it; None for anything else."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address


def group_of(host: str) -> str:
    """Return the name under which limits count an address: the /64 of IPv6, because one client usually owns all of it.

    Anything that is not an IP address is "unknown".
    """
    address = read_address(host)
    if address is None:
        return "unknown"
    return str(address) if address.version == 4 else str(IPv6Network((int(address), 64), strict=False))
