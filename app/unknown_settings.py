"""Refuse variables that look like settings and are none: a misspelled setting would silently keep its default."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

_PREFIX = "VULTUS_"
_OTHERS = frozenset({"VULTUS_API_KEY"})  # read by `vultus eval` and `vultus albums`
# Kubernetes sets these in every pod of a namespace that has a service named `vultus` or `vultus-...`.
_SERVICE_LINK = re.compile(
    r"VULTUS_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT = re.compile(r"VULTUS_(\w+_)?PORT")
_FORMER_PROXY_SETTING = "FORWARDED_ALLOW_IPS"


class UnknownSetting(ValueError):
    """A variable has the prefix of settings but is none; the message names the nearest setting, never a value."""


def refuse_unknown(variables: Mapping[str, str | None], fields: Iterable[str], *, source: str = "") -> None:
    """Raise `UnknownSetting` unless each variable with the prefix `VULTUS_` is a setting's; case does not matter."""
    known = {f"{_PREFIX}{field}".upper() for field in fields} | _OTHERS
    names = {name.upper(): value or "" for name, value in variables.items()}
    unknown = [name for name in names if name.startswith(_PREFIX) and name not in known]
    refused = [_describe(name, known, source) for name in unknown if not _is_service_link(name, names[name])]
    if _FORMER_PROXY_SETTING in names and "VULTUS_TRUSTED_PROXIES" not in names:
        refused.append(f"{_FORMER_PROXY_SETTING}{source} has no effect; set VULTUS_TRUSTED_PROXIES instead")
    if refused:
        raise UnknownSetting("; ".join(refused))


def _describe(name: str, known: set[str], source: str) -> str:
    nearest = get_close_matches(name, known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else "`vultus settings` lists all"
    return f"{name}{source} is not a setting; {hint}"


def _is_service_link(name: str, value: str) -> bool:
    return bool(_SERVICE_LINK.fullmatch(name) or (_SERVICE_PORT.fullmatch(name) and "://" in value))
