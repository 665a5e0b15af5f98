"""Decide which URLs may be fetched: an exact list of hosts, at public addresses or in listed networks."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx

from app.errors import ImageUrlNotAllowed

MAX_URL_LENGTH = 4096
"""In characters."""

_DEFAULT_PORTS = {"https": 443, "http": 80}
_NAT64 = ip_network("64:ff9b::/96")

Address = IPv4Address | IPv6Address


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


class AllowedHosts:
    """The hosts that the operator lists, and the networks besides the public ones where they may be."""

    def __init__(self, hosts: Sequence[str], networks: Sequence[str]) -> None:
        """Take entries such as `photos.example`, `photos.example:8443` or `http://10.0.0.5:9000`."""
        self._origins = frozenset(_origin_of(httpx.URL(_with_scheme(host))) for host in hosts)
        self._networks = [ip_network(network) for network in networks]

    def check(self, text: str) -> tuple[httpx.URL, Origin]:
        """Return the parsed URL and its origin; raises `ImageUrlNotAllowed`. The address is not checked yet."""
        if not self._origins:
            raise ImageUrlNotAllowed(
                "this server fetches no photos. Its operator can allow hosts with VULTUS_IMAGE_URL_HOSTS."
            )
        url = _parse(text)
        origin = _origin_of(url)
        if origin not in self._origins:
            # No list of the allowed ones: it may tell of the operator's network.
            raise ImageUrlNotAllowed(
                f"this server does not fetch from {origin.scheme}://{shorten_host(origin.host)}, port {origin.port}. "
                "Its operator can add the host to VULTUS_IMAGE_URL_HOSTS."
            )
        return url, origin

    def check_addresses(self, origin: Origin, addresses: Iterable[Address]) -> None:
        """Raise `ImageUrlNotAllowed` if one of the addresses of a host is neither public nor in a listed network."""
        if origin.address is not None:  # the operator listed the address itself
            return
        if not all(is_public(address) or self._is_listed(address) for address in addresses):
            raise ImageUrlNotAllowed(
                f"{shorten_host(origin.host)} has an address that is not public. The server's operator can add its "
                "network to VULTUS_IMAGE_URL_NETWORKS."
            )

    def _is_listed(self, address: Address) -> bool:
        return any(one in network for network in self._networks for one in (address, _unwrap(address)))


def is_public(address: Address) -> bool:
    """Return whether an address is reachable from everywhere, also if it stands for an IPv4 address."""
    real = _unwrap(address)
    if isinstance(real, IPv6Address) and (real.sixtofour is not None or real.teredo is not None):
        return False  # obsolete tunnels, whose ends may be anywhere
    return real.is_global and not real.is_multicast and not real.is_reserved


def read_address(host: str) -> Address | None:
    """Return the address that a host is, or None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def shorten_host(host: str) -> str:
    """Return a client's host as an error may repeat it."""
    return host if len(host) <= 64 else host[:64] + "..."


def _unwrap(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one is mapped from or translated to (NAT64)."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _with_scheme(host: str) -> str:
    return host if "://" in host else f"https://{host}"


def _parse(text: str) -> httpx.URL:
    if len(text) > MAX_URL_LENGTH:
        raise ImageUrlNotAllowed(f"the URL has {len(text)} characters; at most {MAX_URL_LENGTH} are allowed.")
    try:
        text.encode()
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):  # a ValueError for what is no Unicode, or no international name
        raise ImageUrlNotAllowed("this is not a URL. Send https://host/path.") from None
    if url.scheme not in _DEFAULT_PORTS or not url.raw_host:
        raise ImageUrlNotAllowed("this is not an HTTP URL. Send https://host/path.")
    authority = re.split(r"[/?#]", text.partition("://")[2])[0]
    if url.userinfo or "@" in authority or "\\" in text.partition("?")[0]:
        raise ImageUrlNotAllowed("a URL with credentials or backslashes is not fetched.")
    return url


def _origin_of(url: httpx.URL) -> Origin:
    # Not `host`, which raises errors for names that are no international ones although they look so.
    host = url.raw_host.decode("ascii").lower()
    return Origin(url.scheme, str(read_address(host) or host), url.port or _DEFAULT_PORTS[url.scheme])
