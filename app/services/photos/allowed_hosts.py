"""Decide which URLs of photos may be fetched: an exact list of hosts, at public addresses or in listed networks."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

import httpx

from app.errors import ImageUrlNotAllowed
from app.services.outbound.addresses import (
    Address,
    Origin,
    UrlRefused,
    is_public,
    parse_url,
    read_origin,
    shorten_host,
    unwrap,
)


class AllowedHosts:
    """The hosts that the operator lists, and the networks besides the public ones where they may be."""

    def __init__(self, hosts: Sequence[str], networks: Sequence[str]) -> None:
        """Take entries such as `photos.example`, `photos.example:8443` or `http://10.0.0.5:9000`."""
        self._origins = frozenset(read_origin(host) for host in hosts)
        self._networks = [ip_network(network) for network in networks]

    def check(self, text: str) -> tuple[httpx.URL, Origin]:
        """Return the parsed URL and its origin; raises `ImageUrlNotAllowed`. The address is not checked yet."""
        if not self._origins:
            raise ImageUrlNotAllowed(
                "this server fetches no photos. Its operator can allow hosts with VULTUS_IMAGE_URL_HOSTS."
            )
        try:
            url, origin = parse_url(text)
        except UrlRefused as exc:
            raise ImageUrlNotAllowed(str(exc)) from None
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
        return any(one in network for network in self._networks for one in (address, unwrap(address)))
