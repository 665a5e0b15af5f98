"""Where a tenant's photos may be fetched from."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from app.domain.tenancy import ObjectStore

_Printable = StringConstraints(pattern=r"^[!-~]{1,255}$")


def _plain(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().isascii() or not secret.get_secret_value().isprintable():
        raise ValueError("must be printable ASCII characters")
    return secret


class ObjectStoreIn(BaseModel):
    """An S3-compatible server and whose credentials are used there."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "endpoint": "https://minio.example:9000",
                "region": "us-east-1",
                "access_key_id": "photos-reader",
                "secret_access_key": "...",
            }
        },
    )

    endpoint: Annotated[str, _Printable, Field(description="One of those that whoever runs this server allows.")]
    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9\-]{1,64}$")] = "us-east-1"
    access_key_id: Annotated[str, _Printable]
    secret_access_key: Annotated[SecretStr, Field(min_length=1, max_length=255), AfterValidator(_plain)]

    def store(self) -> ObjectStore:
        """The domain's value, without the secret."""
        return ObjectStore(self.endpoint, self.region, self.access_key_id)


class ObjectStoreOut(BaseModel):
    """The object store; its secret is never shown again."""

    endpoint: str
    region: str
    access_key_id: str

    @classmethod
    def of(cls, store: ObjectStore) -> "ObjectStoreOut":
        """From the domain's value."""
        return cls(endpoint=store.endpoint, region=store.region, access_key_id=store.access_key_id)
