"""Print rows and values as a table, as JSON, or bare for scripts."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print bare values, separated by tabs, without a header.")]

_WIDTH = 500
"""In columns: wide enough that no id is truncated, so that it can be pasted into the next command."""

_out = Console(width=_WIDTH, soft_wrap=True, highlight=False)


def show_rows(rows: list[dict[str, str]], as_json: bool, quiet: bool) -> None:
    """Print rows; all of them have the columns of the first. Without rows, a table is a line on stderr."""
    if as_json:
        typer.echo(json.dumps(rows))
        return
    if quiet:
        for row in rows:
            typer.echo("\t".join(row.values()))
        return
    if not rows:
        typer.echo("No rows.", err=True)
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*row.values())
    _out.print(table)


def show_values(values: dict[str, str], as_json: bool, quiet: bool) -> None:
    """Print named values, one a line."""
    if as_json:
        typer.echo(json.dumps(values))
        return
    width = max(map(len, values))
    for name, value in values.items():
        typer.echo(value if quiet else f"{name:<{width}}  {value}")
