"""Define the requests and responses of API keys and access keys."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from app.domain.tenancy import KeyRecord
from app.permissions import Scope
from app.schemas import answer_fields as answer
from app.schemas.fields import CollectionName, DisplayName, Timestamp
from app.schemas.request_body import RequestBody
from app.security.access_keys import AccessKey
from app.services.access.keys import IssuedKey

MAX_LIFETIME = timedelta(days=3660)


def _in_future(value: datetime) -> datetime:
    now = datetime.now(UTC)
    value = value.astimezone(UTC)
    if not now < value <= now + MAX_LIFETIME:
        raise ValueError(f"must be in the future and at most {MAX_LIFETIME.days} days from now")
    return value


Scopes = Annotated[list[Scope], Field(min_length=1, max_length=10, examples=[["register", "recognize"]])]


class KeyIn(RequestBody):
    """An API key to create."""

    name: DisplayName = Field(
        description="What the key is used for. Two active keys may share a name, so that you can rotate without "
        "downtime.",
        examples=["front desk"],
    )
    scopes: Scopes = Field(description="What the key may be used for.")
    collections: list[CollectionName] | None = Field(
        default=None, min_length=1, max_length=100, description="Limit the key to these collections. Null: all."
    )
    expires_at: Annotated[Timestamp, AfterValidator(_in_future)] | None = Field(
        default=None, description="When the key expires. Null: never."
    )


class AccessKeyIn(RequestBody):
    """An access key to create."""

    scopes: Scopes = Field(description="What the access key may be used for.")


class KeyOut(BaseModel):
    """An active key, without its secret."""

    key_id: answer.KeyId
    public_id: str = Field(description="The part of the key that is not secret.", examples=["k3Xw9QmT2bLzR7Ya"])
    name: str | None = Field(description="Null for access keys.", examples=["front desk"])
    scopes: list[str] = Field(examples=[["register", "recognize"]])
    collections: list[str] | None = Field(
        description="The collections that the key is limited to. Null: all.", examples=[["default"]]
    )
    created_at: answer.CreatedAt
    expires_at: answer.ExpiresAt | None = Field(description="Null: never.")
    last_used_at: answer.UpdatedAt | None = Field(description="When the key was last used, to the minute.")

    @classmethod
    def of(cls, key: KeyRecord) -> "KeyOut":
        return cls(**_describe(key))


class IssuedKeyOut(KeyOut):
    """A new API key with its secret."""

    key: str = Field(
        description="The key, to send as `Authorization: Bearer <key>` or in the header `x-api-key`. It is shown only "
        "in this response.",
        examples=["vk_k3Xw9QmT2bLzR7Ya_..."],
    )

    @classmethod
    def issued(cls, issued: IssuedKey) -> "IssuedKeyOut":
        return cls(**_describe(issued.record), key=issued.secret)


class IssuedAccessKeyOut(BaseModel):
    """A new access key, to sign requests to the Rekognition API."""

    key_id: answer.KeyId
    access_key_id: str = Field(examples=["VK3X9QMT2BLZR7YA0C5D"])
    secret_access_key: str = Field(
        description="It is shown only in this response.", examples=["your-secret-access-key"]
    )
    scopes: list[str] = Field(examples=[["register", "recognize"]])

    @classmethod
    def issued(cls, record: KeyRecord, pair: AccessKey) -> "IssuedAccessKeyOut":
        return cls(
            key_id=record.id, access_key_id=pair.public_id, secret_access_key=pair.secret, scopes=list(record.scopes)
        )


class KeyPage(BaseModel):
    """One page of active keys."""

    items: list[KeyOut]
    next_cursor: answer.NextCursor


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
