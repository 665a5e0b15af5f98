"""The one shape of every error: RFC 9457 problem details with a stable code."""

from typing import Any

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """What went wrong, for a program (`code`) and for a person (`detail`)."""

    type: str = Field(description="`urn:vultus:problem:` and the code.", examples=["urn:vultus:problem:no_face"])
    title: str = Field(examples=["No face was found in the image."])
    status: int = Field(examples=[422])
    detail: str = Field(description="Names the field, the limit and the value.")
    code: str = Field(description="Stable; decide by this.", examples=["no_face"])
    request_id: str | None = Field(description="Finds the request in the log; also in the header `x-request-id`.")
    errors: list[dict[str, Any]] | None = Field(default=None, description="One entry a field or image, where several.")
