"""Base of every request body: a field that is not known is refused, never ignored."""

from pydantic import BaseModel, ConfigDict


class RequestBody(BaseModel):
    """A request's JSON document or form. What a client sends under a misspelled name must not be lost silently."""

    model_config = ConfigDict(extra="forbid")
