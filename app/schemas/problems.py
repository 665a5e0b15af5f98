"""Define the body of every error response: RFC 9457 problem details with a stable code."""

from typing import Any

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """An error, with a `code` for programs and a `detail` for people."""

    type: str = Field(description="The page of this server that describes the code.", examples=["/docs/errors#no_face"])
    title: str = Field(examples=["No face was found in the image."])
    status: int = Field(examples=[422])
    detail: str = Field(description="What was wrong: the field, the value, the limit and what to do.")
    code: str = Field(description="A stable error code, for programs to rely on.", examples=["no_face"])
    request_id: str | None = Field(
        description="Identifies the request in the server's log. Also sent in the header `x-request-id`."
    )
    errors: list[dict[str, Any]] | None = Field(default=None, description="One entry per invalid field or image.")
