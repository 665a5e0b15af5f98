"""Read which subjects to list from the query, with metadata filters whose names contain the metadata's keys."""

from typing import Annotated, Any

from fastapi import Depends, Query, Request

from app.errors import InvalidParameter
from app.routes.strict_route import allow_prefix
from app.routes.unknown_names import shorten
from app.schemas.fields import SearchText, Timestamp
from app.services.people.subject_listing import MAX_WORDS, SubjectQuery

_PREFIX = "metadata."
_MAX_FILTERS = 10
_MAX_CHARS = 1_000
_METADATA = (
    "Only subjects whose metadata has this value: `metadata.site=berlin`. The key is one at the top level. The value "
    "is a string, a number or a boolean, as JSON writes it but without quotes. Several filters must all hold."
)

METADATA_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": "metadata.KEY",
            "in": "query",
            "required": False,
            "description": f"{_METADATA} At most {_MAX_FILTERS}.",
            "style": "form",
            "explode": True,
            "schema": {
                "type": "object",
                "title": "Metadata filters",
                "propertyNames": {"pattern": r"^metadata\..+"},
                "additionalProperties": {"type": "string", "maxLength": _MAX_CHARS},
                "maxProperties": _MAX_FILTERS,
                "example": {},
                "examples": [{"metadata.site": "berlin", "metadata.team": "7"}],
            },
        }
    ]
}
"""The description of the metadata filters for the OpenAPI document: an exploded object is sent as KEY=VALUE pairs."""


@allow_prefix(_PREFIX)
async def read_metadata_filters(request: Request) -> dict[str, str]:
    """Return the value of each `metadata.KEY` parameter by key; raises `InvalidParameter`."""
    filters = {}
    for name, value in request.query_params.multi_items():
        if not name.startswith(_PREFIX):
            continue
        key, field = name.removeprefix(_PREFIX), shorten(name)
        if not key:
            raise InvalidParameter(f"{field}: has no key; send metadata.KEY=VALUE.", field=field)
        for part, text in (("key", key), ("value", value)):
            if len(text) > _MAX_CHARS:
                raise InvalidParameter(
                    f"{field}: its {part} has {len(text)} characters; at most {_MAX_CHARS} are allowed.", field=field
                )
            if "\0" in text:
                raise InvalidParameter(f"{field}: its {part} contains a NUL character.", field=field)
        filters[key] = value
    if len(filters) > _MAX_FILTERS:
        raise InvalidParameter(
            f"metadata.KEY: {len(filters)} filters were sent; at most {_MAX_FILTERS} are allowed.", field="metadata"
        )
    return filters


async def read_subject_query(
    metadata: Annotated[dict[str, str], Depends(read_metadata_filters)],
    q: Annotated[
        SearchText | None,
        Query(
            description="Only subjects with words in the id or name that begin with these, in any order. Case, accents "
            f"and punctuation do not count: `mull 10` finds `emp-1042`, Ada M\u00fcller. At most {MAX_WORDS} words.",
            examples=["mull 10"],
        ),
    ] = None,
    created_after: Annotated[
        Timestamp | None,
        Query(description="Only subjects created after this time. Must include a time zone."),
    ] = None,
    created_before: Annotated[
        Timestamp | None,
        Query(description="Only subjects created before this time. Must include a time zone."),
    ] = None,
) -> SubjectQuery:
    return SubjectQuery(q, metadata, created_after, created_before)


SubjectQueryDep = Annotated[SubjectQuery, Depends(read_subject_query)]
