"""Check which address a request counts under: IPv4 in IPv6's clothes, networks of IPv6, and trusted proxies."""

from typing import Any

import pytest
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from app.server.client_address import ClientAddress, group_of
from app.settings import Settings


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("::FFFF:c633:6407", "198.51.100.7"),
        ("64:ff9b::198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("testclient", "unknown"),
        ("198.51.100.7:80", "unknown"),
    ],
)
def test_addresses_are_grouped_by_their_owner(host: str, group: str) -> None:
    assert group_of(host) == group


async def client_behind(proxies: str, peer: str, **headers: str) -> tuple[Any, str]:
    """The client and the scheme that the app sees."""
    seen: list[tuple[Any, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["client"][0], scope["scheme"]))

    async def unused(*_: Any) -> Any:
        raise AssertionError

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "scheme": "http", "client": (peer, 1), "headers": raw}
    trusted = Settings.model_validate({"trusted_proxies": proxies}).trusted_proxies
    await ClientAddress(app, trusted_proxies=trusted)(scope, unused, unused)
    return seen[0]


@pytest.mark.parametrize("proxies", ["10.0.0.5", "10.0.0.0/24", "10.0.0.9/24", "::ffff:10.0.0.5", "fd00::1, 10.0.0.5"])
@pytest.mark.parametrize("peer", ["10.0.0.5", "::ffff:10.0.0.5"])
async def test_a_trusted_proxy_names_the_client_and_the_scheme(proxies: str, peer: str) -> None:
    headers = {"x_forwarded_for": "192.0.2.1, 198.51.100.7", "x_forwarded_proto": "https"}
    assert await client_behind(proxies, peer, **headers) == ("198.51.100.7", "https")
    assert await client_behind(proxies, peer) == ("10.0.0.5", "http")


@pytest.mark.parametrize(("proxies", "peer"), [("", "127.0.0.1"), ("", "10.0.0.5"), ("10.0.0.5", "10.0.0.6")])
async def test_nobody_else_can_choose_an_address(proxies: str, peer: str) -> None:
    headers = {"x_forwarded_for": "192.0.2.1", "x_forwarded_proto": "https"}
    assert await client_behind(proxies, peer, **headers) == (peer, "http")


async def test_a_client_with_a_port_behind_two_proxies_is_found() -> None:
    forwarded = "192.0.2.1, 198.51.100.7:4711, 10.0.0.6"
    assert await client_behind("10.0.0.0/24", "10.0.0.5", x_forwarded_for=forwarded) == ("198.51.100.7", "http")


@pytest.mark.parametrize("wrong", ["proxy.example", "*", "10.0.0", "0.0.0.0/0", "::/0", "10.0.0.5, nginx"])
def test_proxies_are_addresses_or_networks(wrong: str) -> None:
    with pytest.raises(ValidationError, match="trusted_proxies"):
        Settings.model_validate({"trusted_proxies": wrong})
