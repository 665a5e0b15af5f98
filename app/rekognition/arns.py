"""AWS-style identifiers: account numbers, collection ARNs and model versions."""

import re
from uuid import UUID

from app.errors import CollectionNotFound

_ARN = re.compile(
    r"(?:arn:)?aws:rekognition:(?P<region>[a-z0-9-]*):(?P<account>\d{12}):collection/(?P<name>[A-Za-z0-9_.\-]{1,255})"
)


def account_of(tenant_id: UUID) -> str:
    """Return the twelve-digit account number of a tenant; it never changes."""
    return f"{tenant_id.int % 10**12:012d}"


def user_arn(tenant_id: UUID, key_id: UUID | None) -> str:
    """Return the ARN of the owner of an access key, as messages name it."""
    return f"arn:aws:iam::{account_of(tenant_id)}:user/{key_id}"


def collection_arn(region: str, tenant_id: UUID, name: str) -> str:
    """Return a collection's ARN as CreateCollection does; DescribeCollection adds the prefix `arn:`."""
    return f"aws:rekognition:{region}:{account_of(tenant_id)}:collection/{name}"


def read_collection_arn(arn: str, tenant_id: UUID, region: str) -> str:
    """Return the collection's name; raises `CollectionNotFound` unless the ARN names the tenant and the region."""
    found = _ARN.fullmatch(arn)
    if found is None or found["account"] != account_of(tenant_id):
        raise CollectionNotFound(
            "ResourceArn: this is not the ARN of a collection of your tenant; use the one from DescribeCollection."
        )
    if found["region"] != region:
        raise CollectionNotFound(
            f"ResourceArn: it names the region {found['region']!r}, but the request is signed for {region!r}."
        )
    return found["name"]


def model_version(recognizer: str) -> str:
    """Return a version of digits and dots that changes with the recognizer.

    The major version is 7, as of AWS's latest model; the rest is 32 bits of the model file's digest.
    """
    digest = recognizer.rpartition(":")[2]
    try:
        number = int(digest[:8], 16)
    except ValueError:
        number = 0
    return f"7.{number >> 16}.{number & 0xFFFF}"
