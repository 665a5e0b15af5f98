"""How commands show rows: a table for people, JSON for programs."""

import json

import typer
from rich.console import Console
from rich.table import Table

_WIDE = 500
"""Columns: what is cut off, an id say, cannot be used in the next command. A terminal breaks the lines itself."""

_out = Console(width=_WIDE, soft_wrap=True, highlight=False)


def show_rows(rows: list[dict[str, str]], as_json: bool) -> None:
    """All rows have the columns of the first."""
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table(*(rows[0] if rows else ("nothing",)))
    for row in rows:
        table.add_row(*row.values())
    _out.print(table)
