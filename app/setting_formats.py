"""Check the format of settings that name networks and hosts."""

import re
from ipaddress import ip_address, ip_network

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
