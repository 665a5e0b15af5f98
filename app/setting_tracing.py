"""Declare the settings of traces; `Settings` inherits them."""

import re
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.setting_formats import check_hosts, check_public_url

_HEADER = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*=\s*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)\s*")


class TracingSettings(BaseSettings):
    """Which traces leave the service, and where to."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    otlp_endpoint: str | None = None
    """Where traces are sent, such as `http://collector.internal:4318`; unset: nowhere. They are sent by OTLP over HTTP
    to `/v1/traces` there. This needs `pip install 'vultus[tracing]'` (docs/how-to/trace-requests.md)."""
    otlp_headers: SecretStr | None = None
    """Headers for that server, comma-separated, such as `authorization=Bearer TOKEN`."""
    trace_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The share of new traces that are sent, from 0 to 1. A trace that a caller began is sent if the caller says so
    in `traceparent`."""
    trace_hosts: Annotated[list[str], NoDecode] = []
    """Receivers of webhooks that are sent `traceparent`, comma-separated. Each one is exact: `hooks.internal`,
    `hooks.internal:8443`, or `http://10.0.0.5:9000`."""

    _check_endpoint = field_validator("otlp_endpoint")(check_public_url)
    _check_hosts = field_validator("trace_hosts")(check_hosts)

    @field_validator("trace_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("otlp_headers")
    @classmethod
    def _check_headers(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            read_headers(value.get_secret_value())
        return value


def read_headers(text: str) -> dict[str, str]:
    """Return headers such as `name=value,name=value` by name; raises `ValueError` if they are malformed."""
    found = {}
    for number, part in enumerate(text.split(","), 1):
        header = _HEADER.fullmatch(part)
        if header is None:
            # The message does not quote the value, which may be a secret.
            raise ValueError(f"entry {number} is not a header; use name=value")
        found[header[1].lower()] = header[2]
    return found
