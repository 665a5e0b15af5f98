"""nginx and Caddy on free ports, with the files of `deploy/` but for ports, names and certificates."""

import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.servers import free_port, listening

ROOT = Path(__file__).resolve().parents[2]
NAME = "localhost"


def find_program(name: str, source: str) -> str:
    """Return a program's path; skips the test where it is missing, with the source to install it from."""
    found = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed: {source}")
    return found


@contextmanager
def nginx(upstream: str, directory: Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Run nginx in front of the upstream `host:port`; yields its address and a context that trusts it."""
    program, port, plain = find_program("nginx", "apt install nginx-light"), free_port(), free_port()
    context = write_certificate(directory)
    site = (ROOT / "deploy" / "nginx" / "vultus.conf").read_text()
    for old, new in (
        ("127.0.0.1:8000", upstream),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen [::]:80;", ""),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("listen [::]:443 ssl http2;", ""),
        ("vultus.example.com;", f"{NAME};"),
        ("/etc/letsencrypt/live/vultus.example.com/fullchain.pem", str(directory / "certificate.pem")),
        ("/etc/letsencrypt/live/vultus.example.com/privkey.pem", str(directory / "key.pem")),
    ):
        assert old in site, old
        site = site.replace(old, new)
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = directory / "nginx.conf"
    main.write_text(
        f"daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{site}}}\n"
    )
    with listening([program, "-p", str(directory), "-e", str(directory / "early.log"), "-c", str(main)], port):
        yield f"https://{NAME}:{port}", context


@contextmanager
def caddy(upstream: str, directory: Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Run Caddy in front of the upstream `host:port`; yields its address and a context that trusts it."""
    program, port = find_program("caddy", "apt install caddy"), free_port()
    context = write_certificate(directory)
    site = (ROOT / "deploy" / "caddy" / "Caddyfile").read_text()
    own = f"grace_period 1s\n\tadmin off\n\tauto_https off\n\tstorage file_system {directory}/storage"
    # A certificate of the test instead of one from an authority, which needs a public name.
    tls = f"tls {directory}/certificate.pem {directory}/key.pem"
    for old, new in (
        ("{$DOMAIN:vultus.example.com} {", f"https://{NAME}:{port} {{\n\t{tls}"),
        ("{$UPSTREAM:127.0.0.1:8000}", upstream),
        ("grace_period 30s", own),
    ):
        assert old in site, old
        site = site.replace(old, new)
    file = directory / "Caddyfile"
    file.write_text(site)
    with listening([program, "run", "--adapter", "caddyfile", "--config", str(file)], port):
        yield f"https://{NAME}:{port}", context


PROXIES = {"nginx": nginx, "caddy": caddy}


def write_certificate(directory: Path) -> ssl.SSLContext:
    """Write a certificate for `localhost` and its key; return a context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (directory / "certificate.pem").write_bytes(pem)
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return ssl.create_default_context(cadata=pem.decode())
