"""Print rows as a table or as JSON."""

import json

import typer
from rich.console import Console
from rich.table import Table

_WIDTH = 500
"""In columns: wide enough that no id is truncated, so that it can be pasted into the next command."""

_out = Console(width=_WIDTH, soft_wrap=True, highlight=False)


def show_rows(rows: list[dict[str, str]], as_json: bool) -> None:
    """Print rows; all of them have the columns of the first."""
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table(*(rows[0] if rows else ("(no rows)",)))
    for row in rows:
        table.add_row(*row.values())
    _out.print(table)
