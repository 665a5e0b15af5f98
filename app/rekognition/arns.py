"""Names of accounts, collections and model versions, in the forms that AWS gives them."""

import re
from uuid import UUID

from app.errors import CollectionNotFound

_ARN = re.compile(
    r"(?:arn:)?aws:rekognition:[a-z0-9-]*:(?P<account>\d{12}):collection/(?P<name>[A-Za-z0-9_.\-]{1,255})"
)


def account_of(tenant_id: UUID) -> str:
    """Twelve digits for a tenant, always the same."""
    return f"{tenant_id.int % 10**12:012d}"


def collection_arn(region: str, tenant_id: UUID, name: str) -> str:
    """As CreateCollection answers it; DescribeCollection puts `arn:` before it."""
    return f"aws:rekognition:{region}:{account_of(tenant_id)}:collection/{name}"


def read_collection_arn(arn: str, tenant_id: UUID) -> str:
    """The name of the tenant's collection; raises `CollectionNotFound` for anything else."""
    found = _ARN.fullmatch(arn)
    if found is None or found["account"] != account_of(tenant_id):
        raise CollectionNotFound("ResourceArn: this names no collection of yours.")
    return found["name"]


def model_version(recognizer: str) -> str:
    """Digits and dots that change with the recognizer: 7, as AWS's newest, and 32 bits of its file's digest."""
    digest = recognizer.rpartition(":")[2]
    try:
        number = int(digest[:8], 16)
    except ValueError:
        number = 0
    return f"7.{number >> 16}.{number & 0xFFFF}"
