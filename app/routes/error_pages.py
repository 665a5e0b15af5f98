"""Serve the page that the `type` of every problem names: each code with its meaning and what to do."""

from functools import cache
from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.errors import REFERENCE_PATH
from app.errors.reference import ErrorCode, list_error_codes

router = APIRouter()

_HEAD = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1.0">
<title>Vultus: error codes</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
dt { font-weight: bold; margin-top: 1rem } dd { margin-left: 1.5rem } :target { background: #ff8 }
</style>
</head>
<body>
<h1>Error codes</h1>
<p>Every error is <code>application/problem+json</code>. Let programs decide by its <code>code</code>. The
<code>detail</code> of an error says exactly what was wrong. <a href="/docs">The API</a></p>
"""


@router.get(REFERENCE_PATH, include_in_schema=False)
async def error_codes() -> HTMLResponse:
    return HTMLResponse(_render())


@cache
def _render() -> str:
    parts = [_HEAD]
    for topic, codes in list_error_codes().items():
        parts += [f"<h2>{escape(topic)}</h2>\n<dl>\n", *map(_describe, codes), "</dl>\n"]
    return "".join(parts) + "</body>\n</html>\n"


def _describe(error: ErrorCode) -> str:
    return (
        f'<dt id="{error.code}"><code>{error.code}</code> ({error.status})</dt>\n'
        f"<dd>{escape(error.meaning)}<br>{escape(error.remedy).replace('`', '')}</dd>\n"
    )
