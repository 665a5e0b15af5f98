"""Define the requests and responses of a tenant's object store."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from app.domain.tenancy import ObjectStore
from app.schemas.request_body import RequestBody
from app.schemas.text_rules import REGION, SECRET, TOKEN


def _check_ascii(secret: SecretStr) -> SecretStr:
    SECRET.check(secret.get_secret_value())
    return secret


class ObjectStoreIn(RequestBody):
    """An S3-compatible server and the credentials to use there."""

    endpoint: Annotated[str, TOKEN] = Field(
        description="The server's origin. The operator must have allowed it.", examples=["https://minio.example:9000"]
    )
    region: Annotated[str, REGION] = "us-east-1"
    access_key_id: Annotated[str, TOKEN] = Field(examples=["photos-reader"])
    secret_access_key: Annotated[SecretStr, Field(min_length=1, max_length=255), AfterValidator(_check_ascii)] = Field(
        examples=["your-secret-access-key"], json_schema_extra={"pattern": SECRET.pattern}
    )

    def store(self) -> ObjectStore:
        """Return the domain object, without the secret."""
        return ObjectStore(self.endpoint, self.region, self.access_key_id)


class ObjectStoreOut(BaseModel):
    """The tenant's object store, without its secret."""

    endpoint: str = Field(examples=["https://minio.example:9000"])
    region: str = Field(examples=["us-east-1"])
    access_key_id: str = Field(examples=["photos-reader"])

    @classmethod
    def of(cls, store: ObjectStore) -> "ObjectStoreOut":
        return cls(endpoint=store.endpoint, region=store.region, access_key_id=store.access_key_id)
