"""Define the requests and responses of a tenant's object store."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr, StringConstraints

from app.domain.tenancy import ObjectStore
from app.schemas.request_body import RequestBody

_Printable = StringConstraints(pattern=r"^[!-~]{1,255}$")


def _check_ascii(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().isascii() or not secret.get_secret_value().isprintable():
        raise ValueError("must contain only printable ASCII characters")
    return secret


class ObjectStoreIn(RequestBody):
    """An S3-compatible server and the credentials to use there."""

    endpoint: Annotated[str, _Printable] = Field(
        description="The server's origin. The operator must have allowed it.", examples=["https://minio.example:9000"]
    )
    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9\-]{1,64}$")] = "us-east-1"
    access_key_id: Annotated[str, _Printable] = Field(examples=["photos-reader"])
    secret_access_key: Annotated[SecretStr, Field(min_length=1, max_length=255), AfterValidator(_check_ascii)] = Field(
        examples=["your-secret-access-key"]
    )

    def store(self) -> ObjectStore:
        """Return the domain object, without the secret."""
        return ObjectStore(self.endpoint, self.region, self.access_key_id)


class ObjectStoreOut(BaseModel):
    """The tenant's object store, without its secret."""

    endpoint: str
    region: str
    access_key_id: str

    @classmethod
    def of(cls, store: ObjectStore) -> "ObjectStoreOut":
        return cls(endpoint=store.endpoint, region=store.region, access_key_id=store.access_key_id)
