"""Define the request and response of a tenant's options for the Rekognition protocol."""

from pydantic import BaseModel, ConfigDict, Field

from app.domain.tenancy import ProtocolOptions


class RekognitionOptionsBody(BaseModel):
    """The tenant's options for the Rekognition protocol."""

    model_config = ConfigDict(extra="forbid", strict=True)

    placeholder_attributes: bool = Field(
        default=False,
        description="Whether requested face attributes that no model estimates are present, with the confidence 0. "
        "They say nothing about the face.",
    )

    def options(self) -> ProtocolOptions:
        return ProtocolOptions(self.placeholder_attributes)

    @classmethod
    def of(cls, options: ProtocolOptions) -> "RekognitionOptionsBody":
        return cls(placeholder_attributes=options.placeholder_attributes)
