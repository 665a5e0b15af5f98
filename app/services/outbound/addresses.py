"""Read URLs that callers name, resolve their hosts, and tell which addresses are public.

A name is resolved once, every address of it is checked, and the connection goes to one of these addresses. A name that
changes its address meanwhile therefore changes nothing.
"""

import asyncio
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

MAX_URL_LENGTH = 4096
"""In characters."""

_DEFAULT_PORTS = {"https": 443, "http": 80}
_NAT64 = ip_network("64:ff9b::/96")

Address = IPv4Address | IPv6Address


class UrlRefused(Exception):
    """The text is not a URL that may be requested; the message says why, without path and query."""


class HostUnknown(Exception):
    """The name has no address."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL; the host is lower case, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def address(self) -> Address | None:
        """The address, if the host is one and not a name."""
        return read_address(self.host)


def parse_url(text: str) -> tuple[httpx.URL, Origin]:
    """Return the parsed URL and its origin; raises `UrlRefused`. The address is not checked yet."""
    if len(text) > MAX_URL_LENGTH:
        raise UrlRefused(f"the URL has {len(text)} characters; at most {MAX_URL_LENGTH} are allowed.")
    try:
        text.encode()
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):  # a ValueError for what is no Unicode, or no international name
        raise UrlRefused("this is not a URL. Send https://host/path.") from None
    if url.scheme not in _DEFAULT_PORTS or not url.raw_host:
        raise UrlRefused("this is not an HTTP URL. Send https://host/path.")
    authority = re.split(r"[/?#]", text.partition("://")[2])[0]
    if url.userinfo or "@" in authority or "\\" in text.partition("?")[0]:
        raise UrlRefused("a URL with credentials or backslashes is not allowed.")
    return url, _origin_of(url)


def read_origin(host: str) -> Origin:
    """Read an operator's entry such as `photos.example`, `photos.example:8443` or `http://10.0.0.5:9000`."""
    return _origin_of(httpx.URL(host if "://" in host else f"https://{host}"))


async def resolve(origin: Origin) -> list[Address]:
    """Return the addresses of a host, or the one that it is; raises `HostUnknown`, or `UrlRefused` for a local one."""
    if origin.address is not None:
        return [origin.address]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise HostUnknown from None
    addresses = [read_address(str(sockaddr[0])) for *_, sockaddr in found]
    if None in addresses or not addresses:  # an address with a scope, which only means something on this machine
        raise UrlRefused("the host has an address that is not public.")
    return list(dict.fromkeys(address for address in addresses if address is not None))


def pin(
    method: str, url: httpx.URL, origin: Origin, address: Address, headers: Mapping[str, str], body: bytes = b""
) -> httpx.Request:
    """Build a request to an address; certificate, SNI and the header Host are those of the URL's host."""
    pinned = url.copy_with(host=str(address), fragment=None)
    named = {"host": url.netloc.decode("ascii"), **headers}
    return httpx.Request(method, pinned, headers=named, content=body or None, extensions={"sni_hostname": origin.host})


def is_public(address: Address) -> bool:
    """Return whether an address is reachable from everywhere, also if it stands for an IPv4 address."""
    real = unwrap(address)
    if isinstance(real, IPv6Address) and (real.sixtofour is not None or real.teredo is not None):
        return False  # obsolete tunnels, whose ends may be anywhere
    return real.is_global and not real.is_multicast and not real.is_reserved


def read_address(host: str) -> Address | None:
    """Return the address that a host is, or None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def unwrap(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one is mapped from or translated to (NAT64)."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def shorten_host(host: str) -> str:
    """Return a client's host as an error may repeat it."""
    return host if len(host) <= 64 else host[:64] + "..."


def _origin_of(url: httpx.URL) -> Origin:
    # Not `host`, which raises errors for names that are no international ones although they look so.
    host = url.raw_host.decode("ascii").lower()
    return Origin(url.scheme, str(read_address(host) or host), url.port or _DEFAULT_PORTS[url.scheme])
