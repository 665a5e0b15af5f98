"""Open a directory or an S3 bucket by its address."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from obstore.store import LocalStore, S3Store


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """Where objects are: a directory, or a bucket with the prefix of all keys, and how to sign in to its server."""

    directory: Path | None = None
    bucket: str | None = None
    prefix: str = ""
    endpoint: str | None = None
    public_endpoint: str | None = None
    """Where callers reach the server; None if they use the same address."""
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, address: str, **login: Any) -> "ObjectAddress":
        """Parse a directory's path or `s3://bucket/prefix`."""
        if not address.startswith("s3://"):
            return cls(directory=Path(address))
        parts = urlsplit(address)
        return cls(bucket=parts.netloc, prefix=parts.path.strip("/"), **login)


def open_store(address: ObjectAddress) -> Any:
    """Open the store at an address; a directory is created."""
    if address.directory is not None:
        address.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return LocalStore(address.directory, automatic_cleanup=True)
    config: dict[str, Any] = {
        "bucket": address.bucket,
        "region": address.region,
        "access_key_id": address.access_key_id,
        "secret_access_key": address.secret_access_key,
    }
    if address.endpoint is not None:
        config |= {"endpoint": address.endpoint, "virtual_hosted_style_request": False}
    is_plain = address.endpoint is not None and address.endpoint.startswith("http://")
    return S3Store(
        prefix=address.prefix or None,
        client_options={"allow_http": is_plain, "timeout": "20s", "connect_timeout": "5s"},
        retry_config={"max_retries": 2},
        **{name: value for name, value in config.items() if value is not None},
    )
