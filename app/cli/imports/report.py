"""Say what an import brought, and what it left out and why."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import typer

from app.cli.imports.people import LeftOut
from app.cli.tables import show_rows

_MAX_SHOWN = 20


@dataclass(slots=True)
class ImportReport:
    """Counts of photos and people. `known` were there before: from an earlier run, or the same photo twice."""

    is_dry_run: bool
    stored: int = 0
    known: int = 0
    people: int = 0
    left_out: list[LeftOut] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        body = {
            "dry_run": self.is_dry_run,
            "stored": self.stored,
            "known": self.known,
            "people": self.people,
            "left_out": [asdict(one) for one in self.left_out],
            "reasons": dict(Counter(one.reason for one in self.left_out).most_common()),
        }
        path.write_text(json.dumps(body, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    def show(self, unit: str) -> None:
        """Print the counts, and a table of the first that were left out."""
        verb = "to store" if self.is_dry_run else "stored"
        typer.echo(
            f"{self.stored} {unit} {verb}, {self.known} known, {self.people} people, {len(self.left_out)} left out."
        )
        if not self.left_out:
            return
        show_rows([asdict(one) for one in self.left_out[:_MAX_SHOWN]], as_json=False, quiet=False)
        if len(self.left_out) > _MAX_SHOWN:
            typer.echo(f"and {len(self.left_out) - _MAX_SHOWN} more; --report FILE lists all.", err=True)
