"""Photos by URL: only from listed hosts, only at checked addresses, and never longer or larger than allowed."""

import asyncio
import datetime as dt
import io
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ImageRefused, ImageTooLarge, ImageUrlNotAllowed
from app.services.outbound.addresses import is_public
from app.services.photos.allowed_hosts import AllowedHosts
from app.services.photos.image_urls import ImageUrl, ImageUrlFetcher
from app.telemetry import configure_logging
from tests.photo_hosts import LARGE, PHOTO, PhotoHost, serving_photos

SECRET = "signature=s3cret"


@pytest.fixture(scope="module")
def host() -> Iterator[PhotoHost]:
    with serving_photos() as server:
        yield server


@asynccontextmanager
async def fetcher(
    *hosts: str,
    networks: tuple[str, ...] = (),
    timeout_s: float = 10,
    verify: ssl.SSLContext | bool = True,
    **more: int,
) -> AsyncIterator[ImageUrlFetcher]:
    limits = {"max_bytes": LARGE - 1, "max_request_bytes": 2 * LARGE, **more}
    made = ImageUrlFetcher(AllowedHosts(hosts, networks), timeout_s=timeout_s, verify=verify, **limits)
    yield made
    await made.close()


async def refusal(fetching: ImageUrlFetcher, url: str) -> str:
    """The code of the refusal, after checking that it tells nothing of the path, the query or the body."""
    with pytest.raises(ImageRefused) as refused:
        await fetching.fetch(ImageUrl(url))
    told = f"{refused.value} {refused.value.detail} {refused.value!r} {ImageUrl(url)!r}"
    for secret in (SECRET, "s3cret", "no such secret", "a page"):
        assert secret not in told
    return refused.value.code


async def test_a_photo_is_fetched_from_a_listed_host(host: PhotoHost) -> None:
    origin = f"http://127.0.0.1:{host.server_port}"
    async with fetcher(origin) as fetching:
        assert await fetching.fetch(ImageUrl(f"{origin}/photo.jpg?{SECRET}#fragment")) == PHOTO
    assert host.requested[-1] == f"/photo.jpg?{SECRET}"
    assert host.hosts[-1] == f"127.0.0.1:{host.server_port}"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("redirect", "image_url_unreachable"),
        ("missing", "image_url_unreachable"),
        ("garbage", "image_url_unreachable"),
        ("short", "image_url_unreachable"),
        ("large", "image_too_large"),
        ("endless", "image_too_large"),
    ],
)
async def test_what_is_no_whole_answer_says_why(host: PhotoHost, path: str, code: str) -> None:
    origin = f"http://127.0.0.1:{host.server_port}"
    async with fetcher(origin) as fetching:
        before = len(host.requested)
        assert await refusal(fetching, f"{origin}/{path}?{SECRET}") == code
    assert host.requested[before:] == [f"/{path}?{SECRET}"]


@pytest.mark.parametrize("path", ["slow", "silent"])
async def test_a_slow_photo_is_given_up(host: PhotoHost, path: str) -> None:
    origin = f"http://127.0.0.1:{host.server_port}"
    async with fetcher(origin, timeout_s=0.3) as fetching:
        assert await refusal(fetching, f"{origin}/{path}?{SECRET}") == "image_url_timeout"


async def test_the_time_and_the_bytes_are_for_all_photos_of_a_request(host: PhotoHost) -> None:
    origin = f"http://127.0.0.1:{host.server_port}"
    async with fetcher(origin, timeout_s=2) as fetching:
        slow = [ImageUrl(f"{origin}/slow")] * 4
        codes = [
            one.code if isinstance(one, ImageRefused) else one
            for one in await fetching.fetch_each(
                [ImageUrl(f"{origin}/photo.jpg"), *slow, ImageUrl(f"{origin}/photo.jpg")]
            )
        ]
    assert codes[0] == PHOTO
    assert codes[1:5] == ["image_url_timeout"] * 4
    async with fetcher(origin, max_request_bytes=2 * len(PHOTO) + 1) as fetching:
        fetched = await fetching.fetch_each([ImageUrl(f"{origin}/photo.jpg")] * 5)
    assert fetched.count(PHOTO) == 2
    assert sum(isinstance(one, ImageTooLarge) for one in fetched) == 3


async def test_nothing_is_fetched_unless_a_host_is_listed(host: PhotoHost) -> None:
    before = len(host.requested)
    async with fetcher() as fetching:
        assert await refusal(fetching, f"http://127.0.0.1:{host.server_port}/photo.jpg") == "image_url_not_allowed"
    assert len(host.requested) == before


async def test_other_ways_to_name_a_host_are_not_listed(host: PhotoHost) -> None:
    port = host.server_port
    listed = (f"http://127.0.0.1:{port}", "photos.example", "xn--mnchen-3ya.example", "[2606:4700::1111]")
    urls = [
        # other spellings of the address, and names that lead to it
        *(f"http://{name}:{port}/photo.jpg" for name in (
            "2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "127.1", "127.0.0.1.", "127.0.0.1.nip.io",
            "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[fe80::1%25lo]",
        )),
        # credentials, and what looks like the listed host to a careless reader
        f"http://user:password@127.0.0.1:{port}/photo.jpg", f"http://@127.0.0.1:{port}/photo.jpg",
        f"http://127.0.0.1:{port}@evil.example/photo.jpg", f"http://evil.example#@127.0.0.1:{port}/photo.jpg",
        f"http://evil.example/http://127.0.0.1:{port}/photo.jpg", f"http://evil.example\\@127.0.0.1:{port}/photo.jpg",
        f"http://127.0.0.1:{port}\\@evil.example/photo.jpg", f"http:\\\\127.0.0.1:{port}/photo.jpg",
        # another scheme or port
        f"https://127.0.0.1:{port}/photo.jpg", "http://127.0.0.1/photo.jpg", f"http://127.0.0.1:{port + 1}/photo.jpg",
        f"ftp://127.0.0.1:{port}/photo.jpg", "file:///etc/passwd", "data:image/jpeg;base64,AAAA", "gopher://127.0.0.1",
        "http://photos.example/a.jpg", "https://photos.example:8443/a.jpg",
        # another host
        "https://www.photos.example/a.jpg", "https://photos.example.evil.example/a.jpg", "https://photos.example./a.jpg",
        "https://169.254.169.254/latest/meta-data", "https://unknown.example/a.jpg",
        # no URL
        "", "photo.jpg", "//127.0.0.1/photo.jpg", "http://", "http:///photo.jpg", "http://127.0.0.1:99999/a",
        "http://127.0.0.1:port/a", "http://[::1/a", "http://exa mple/a", "http://127.0.0.1\r\nx: y/", "\0",
        f"http://127.0.0.1:{port}/\ud800", "https://xn--otos.example/a", "https://xn--ap-otos.example/a",
        "http://\ud800/",
        f"http://127.0.0.1:{port}/" + "a" * 5000,
    ]  # fmt: skip
    before = len(host.requested)
    async with fetcher(*listed) as fetching:
        for url in urls:
            assert await refusal(fetching, url) == "image_url_not_allowed", url
    assert len(host.requested) == before


@given(st.text(alphabet=st.characters(), max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_whatever_is_sent_is_the_listed_host_or_refused(text: str, start: int, length: int) -> None:
    allowed, url = AllowedHosts(["photos.example"], []), "https://photos.example/a/b.jpg?c=d"
    with suppress(ImageUrlNotAllowed):
        parsed, origin = allowed.check(url[:start] + text + url[start + length :])
        assert (origin.host, parsed.host) == ("photos.example", "photos.example")


async def test_a_name_may_only_have_public_or_listed_addresses(host: PhotoHost) -> None:
    url = f"http://localhost:{host.server_port}/photo.jpg"
    before = len(host.requested)
    async with fetcher(f"http://localhost:{host.server_port}") as fetching:
        assert await refusal(fetching, url) == "image_url_not_allowed"
    async with fetcher(f"http://localhost:{host.server_port}", networks=("10.0.0.0/8",)) as fetching:
        assert await refusal(fetching, url) == "image_url_not_allowed"
    assert len(host.requested) == before
    async with fetcher(f"http://localhost:{host.server_port}", networks=("127.0.0.0/8", "::1/128")) as fetching:
        assert await fetching.fetch(ImageUrl(url)) == PHOTO
    assert host.hosts[-1] == f"localhost:{host.server_port}"


async def test_a_name_without_an_address_is_unreachable() -> None:
    async with fetcher("photos.invalid", "http://127.0.0.1:1") as fetching:
        assert await refusal(fetching, f"https://photos.invalid/a?{SECRET}") == "image_url_unreachable"
        assert await refusal(fetching, f"http://127.0.0.1:1/a?{SECRET}") == "image_url_unreachable"


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.0.0.1", "192.168.1.1",
        "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1",
        "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a00:1",
        "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "::127.0.0.1",
    ],
)  # fmt: skip
def test_no_private_local_or_reserved_address_is_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))


class Resolver:
    """Answers the next list of addresses each time that a name is resolved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.names = list[str]()
        self._answers = iter(answers)
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._resolve)

    async def _resolve(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.names.append(host)
        return [(None, None, None, "", (address, port)) for address in next(self._answers)]


async def test_a_name_is_resolved_once_and_its_checked_address_is_used(
    host: PhotoHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: the name has an allowed address when it is checked, and another one afterwards."""
    port = host.server_port
    with serving_photos("127.0.0.2", port) as second:
        resolver = Resolver(monkeypatch, ["127.0.0.2"], ["127.0.0.1"], ["127.0.0.2", "127.0.0.1"])
        before = len(host.requested)
        async with fetcher(f"http://rebinding.example:{port}", networks=("127.0.0.2",)) as fetching:
            url = f"http://rebinding.example:{port}/photo.jpg"
            assert await fetching.fetch(ImageUrl(url)) == PHOTO
            assert resolver.names == ["rebinding.example"]
            assert await refusal(fetching, url) == "image_url_not_allowed"
            # One address that is not allowed is enough, whichever would be tried.
            assert await refusal(fetching, url) == "image_url_not_allowed"
        assert second.hosts == [f"rebinding.example:{port}"]
    assert len(host.requested) == before


async def test_another_address_is_tried_if_one_does_not_accept(
    host: PhotoHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    Resolver(monkeypatch, ["127.0.0.3", "127.0.0.1"], ["127.0.0.3"])
    origin = f"http://photos.example:{host.server_port}"
    async with fetcher(origin, networks=("127.0.0.0/8",)) as fetching:
        assert await fetching.fetch(ImageUrl(f"{origin}/photo.jpg")) == PHOTO
        assert await refusal(fetching, f"{origin}/photo.jpg") == "image_url_unreachable"


async def test_proxies_of_the_environment_are_ignored(host: PhotoHost, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = f"http://127.0.0.1:{host.server_port}"
    with serving_photos() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        async with fetcher(origin) as fetching:
            assert await fetching.fetch(ImageUrl(f"{origin}/photo.jpg")) == PHOTO
        assert proxy.requested == []


async def test_no_log_has_the_path_or_the_query(host: PhotoHost) -> None:
    root = logging.getLogger()
    handlers, level, log = root.handlers[:], root.level, io.StringIO()
    configure_logging("debug", "json")
    root.addHandler(logging.StreamHandler(log))
    try:
        origin = f"http://127.0.0.1:{host.server_port}"
        async with fetcher(origin) as fetching:
            await fetching.fetch(ImageUrl(f"{origin}/photo.jpg?{SECRET}"))
            assert await refusal(fetching, f"{origin}/redirect?{SECRET}") == "image_url_unreachable"
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert not [text for text in ("s3cret", "photo.jpg", "redirect") if text in log.getvalue()]


def certificate(name: str, path: Path) -> Path:
    """A certificate for the name, signed by its own key, with the key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


@pytest.mark.parametrize(
    ("name", "is_trusted", "code"),
    [
        ("localhost", True, None),
        ("other.example", True, "image_url_unreachable"),
        ("localhost", False, "image_url_unreachable"),
    ],
)
async def test_the_certificate_is_that_of_the_name_and_not_of_the_address(
    tmp_path: Path, name: str, is_trusted: bool, code: str | None
) -> None:
    file = certificate(name, tmp_path / "server.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    trust = ssl.create_default_context(cafile=str(file)) if is_trusted else True
    with serving_photos(tls=tls) as server:
        origin = f"localhost:{server.server_port}"
        async with fetcher(origin, networks=("127.0.0.0/8", "::1"), verify=trust) as fetching:
            url = f"https://{origin}/photo.jpg?{SECRET}"
            if code is None:
                assert await fetching.fetch(ImageUrl(url)) == PHOTO
            else:
                assert await refusal(fetching, url) == code
