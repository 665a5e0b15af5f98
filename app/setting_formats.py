"""Check the values of settings: secrets, addresses, rates, networks and hosts."""

import os
import re
import secrets
from ipaddress import ip_address, ip_network
from pathlib import Path

from limits import parse_many

MIN_SECRET_BYTES = 32
MIN_DISTINCT_CHARACTERS = 10
MAX_RATE_WINDOW_S = 366 * 24 * 3600

_HOST = re.compile(r"(?:https?://)?(?:([a-z0-9.\-]+)|\[([0-9a-f:.]+)\])(?::(\d{1,5}))?")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")


def is_image_host(text: str) -> bool:
    """Return whether this is a host as URLs have it: a name in ASCII, or an address in its usual form."""
    found = _HOST.fullmatch(text.lower())
    if found is None or (found[3] is not None and not 0 < int(found[3]) < 65_536):
        return False
    host = found[1] or found[2]
    try:
        return str(ip_address(host)) == host
    except ValueError:
        # Other spellings of an address, such as 0x7f.1, end with a number; no name does.
        return found[2] is None and not _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2])


def read_network(text: str, danger_of_all: str) -> str:
    """Return an address or network in its usual form; raises `ValueError`, with the danger for one of all addresses."""
    try:
        network = ip_network(text.removeprefix("::ffff:"), strict=False)
    except ValueError:
        raise ValueError(f"{text} is not an IP address or network, such as 10.0.0.5 or 10.0.0.0/24") from None
    if network.prefixlen == 0:
        raise ValueError(f"{text} {danger_of_all}")
    return str(network)


def check_origins(value: list[str]) -> list[str]:
    """Return origins such as `https://host:port` unchanged; raise `ValueError` for anything else."""
    for number, endpoint in enumerate(value, 1):
        if not re.fullmatch(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?", endpoint):
            # The message does not quote the value, which may hold a password.
            raise ValueError(f"entry {number} is not an origin; use https://host or https://host:port")
    return value


def check_hosts(value: list[str]) -> list[str]:
    """Return hosts unchanged; raise `ValueError` for anything else."""
    for number, host in enumerate(value, 1):
        if not is_image_host(host):
            # The message does not quote the value, which may hold a password.
            raise ValueError(f"entry {number} is not a host; use host, host:port or http://host:port")
    return value


def check_public_url(value: str | None) -> str | None:
    """Return the address of a server without a slash at its end; raise `ValueError` for anything else."""
    if value is not None and not re.fullmatch(r"https?://[^/?#\s@]+(/[A-Za-z0-9._~/-]*)?", value):
        raise ValueError("must be a URL such as https://example.com/faces, without query and credentials")
    return value.rstrip("/") if value is not None else None


def check_receipt_keys(value: list[str]) -> list[str]:
    """Return public keys unchanged; raise `ValueError` for anything else."""
    for number, key in enumerate(value, 1):
        if not re.fullmatch(r"[A-Za-z0-9+/]{43}=", key):
            # The message does not quote the value: somebody may have put the secret here.
            raise ValueError(f"entry {number} is not a public key; use 32 bytes in base64, as GET /receipt-keys does")
    return value


def refuse_malformed_smtp_url(url: str, sender: str | None, public_url: str | None) -> None:
    """Raise `ValueError` for an address that is not a mail server's, or without what mails need beside it."""
    # The message does not quote the value, which may contain a password.
    if not re.fullmatch(r"smtp(s|\+plain)?://([^\s/@]+@)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?/?", url):
        raise ValueError("VULTUS_SMTP_URL is not a mail server; use smtp://user:password@host:587 or smtps://host")
    if sender is None or not re.fullmatch(r"[^\s@<>,;]+@[^\s@<>,;]+", sender):
        raise ValueError("VULTUS_SMTP_URL needs VULTUS_MAIL_FROM, an address such as vultus@example.com")
    if public_url is None:
        raise ValueError("VULTUS_SMTP_URL needs VULTUS_PUBLIC_URL: mails have links")


def check_rate(rate: str) -> str:
    """Return a rate such as `60/minute; 1000/day` unchanged; raise `ValueError` if it is malformed or out of range."""
    for item in parse_many(rate):
        if item.amount < 1 or item.get_expiry() > MAX_RATE_WINDOW_S:
            raise ValueError(f"{rate}: a rate allows at least 1 request within at most {MAX_RATE_WINDOW_S} seconds")
    return rate


def refuse_weak_secret(secret: str, name: str) -> None:
    """Raise `ValueError` for a secret that is short or not random; `name` is the setting's."""
    # The messages name the rule but never the value, because they end up in logs.
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"{name} is shorter than {MIN_SECRET_BYTES} bytes")
    if len(set(secret)) < MIN_DISTINCT_CHARACTERS:
        raise ValueError(f"{name} has fewer than {MIN_DISTINCT_CHARACTERS} distinct characters, so it is not random")


def refuse_malformed_database_url(name: str, url: str) -> None:
    """Raise `ValueError` for an address that is not PostgreSQL's; `name` is the setting's field."""
    # The message does not quote the value, which contains a password.
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError(f"VULTUS_{name.upper()} is not a postgresql:// address")


def refuse_lone_certificate(cert_file: Path | None, key_file: Path | None) -> None:
    """Raise `ValueError` for a certificate without its key, or a key without its certificate."""
    if (cert_file is None) != (key_file is None):
        raise ValueError("VULTUS_INFERENCE_CERT_FILE and VULTUS_INFERENCE_KEY_FILE must be set together")


def generate_secret() -> str:
    """Generate a secret of 384 random bits, in letters, digits, `-` and `_`."""
    return secrets.token_urlsafe(48)


def read_development_secret(path: Path) -> str:
    """Return the secret in a file, which is created with a new one (mode 0600) if it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        secret = generate_secret()
        file.write(secret)
    return secret
