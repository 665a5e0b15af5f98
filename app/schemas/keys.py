"""API keys and access-key pairs."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from app.domain.tenancy import KeyRecord
from app.permissions import Scope
from app.schemas.fields import CollectionName, DisplayName
from app.security.access_keys import AccessKey
from app.services.access.keys import IssuedKey

LONGEST_LIFE = timedelta(days=3660)


def _in_future(value: datetime) -> datetime:
    now = datetime.now(UTC)
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        value = datetime.max.replace(tzinfo=UTC)
    if not now < value <= now + LONGEST_LIFE:
        raise ValueError(f"must lie in the future, at most {LONGEST_LIFE.days} days away")
    return value


Scopes = Annotated[list[Scope], Field(min_length=1, max_length=10, examples=[["register", "recognize"]])]


class KeyIn(BaseModel):
    """An API key to issue."""

    model_config = ConfigDict(extra="forbid")

    name: DisplayName = Field(description="What it is for; two live keys may share a name, to rotate without a pause.")
    scopes: Scopes
    collections: list[CollectionName] | None = Field(
        default=None, min_length=1, max_length=100, description="The only collections it may reach; null: all."
    )
    expires_at: Annotated[AwareDatetime, AfterValidator(_in_future)] | None = None


class AccessKeyIn(BaseModel):
    """An access-key pair to issue."""

    model_config = ConfigDict(extra="forbid")

    scopes: Scopes


class KeyOut(BaseModel):
    """A live key; never its secret."""

    key_id: UUID
    public_id: str = Field(description="The part of the key that may be shown.")
    name: str | None
    scopes: list[str]
    collections: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")

    @classmethod
    def of(cls, key: KeyRecord) -> "KeyOut":
        """From the service's result."""
        return cls(**_describe(key))


class IssuedKeyOut(KeyOut):
    """A new API key with its text."""

    key: str = Field(description="Send it as `Authorization: Bearer ...` or `x-api-key`. Shown only now.")

    @classmethod
    def issued(cls, issued: IssuedKey) -> "IssuedKeyOut":
        """From the service's result."""
        return cls(**_describe(issued.record), key=issued.secret)


class IssuedAccessKeyOut(BaseModel):
    """A new pair."""

    key_id: UUID
    access_key_id: str
    secret_access_key: str = Field(description="Shown only now.")
    scopes: list[str]

    @classmethod
    def issued(cls, record: KeyRecord, pair: AccessKey) -> "IssuedAccessKeyOut":
        """From the service's result."""
        return cls(
            key_id=record.id, access_key_id=pair.public_id, secret_access_key=pair.secret, scopes=list(record.scopes)
        )


class KeyList(BaseModel):
    """All live keys."""

    items: list[KeyOut]


def _describe(key: KeyRecord) -> dict[str, object]:
    return {
        "key_id": key.id,
        "public_id": key.public_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "collections": list(key.collections) if key.collections is not None else None,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }
