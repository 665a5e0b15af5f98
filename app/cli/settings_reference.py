"""`vultus settings`: write the settings reference as an `.env` file or as Markdown, from the fields of `Settings`."""

import os.path
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from app.setting_groups import GROUPS
from app.settings import Settings

_WIDTH = 119
_ENV_HEAD = """\
# Every setting of Vultus with its default. Copy this file to .env and uncomment what you change.
# docs/reference/settings.md explains more. `make reference` writes both files from app/settings.py.
# Generate a secret with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'
"""
_MARKDOWN_HEAD = """\
<!-- Written by `make reference` from app/settings.py; edit the docstrings there. -->

# Settings

Settings are environment variables or lines of `.env` in the current directory; the environment wins. Copy
[.env.example](../../.env.example) to `.env` to start with all defaults. Restart Vultus after a change.

- Lists are comma-separated. Booleans are `true` or `false`.
- Generate a secret or token with `python3 -c 'import secrets; print(secrets.token_urlsafe(48))'`.
- A wrong value stops the start with a message that names the variable.
"""


class ReferenceFormat(StrEnum):
    """How to write the reference."""

    ENV = "env"
    MARKDOWN = "markdown"


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable as the reference shows it: `summary` is the first sentence, `details` are the rest."""

    variable: str
    default: str
    summary: str
    details: str


def write_settings(
    form: Annotated[ReferenceFormat, typer.Option("--format", help="An .env file, or Markdown.")] = ReferenceFormat.ENV,
) -> None:
    """List every setting with its default and meaning; ignores the current values."""
    typer.echo(render_env() if form is ReferenceFormat.ENV else render_markdown(), nl=False)


def render_env() -> str:
    """Return the text of `.env.example`: every variable with its default, commented out."""
    parts = [_ENV_HEAD]
    for title, settings in group_settings():
        lines = [f"# {title}", "#" + "-" * (len(title) + 1)]
        for setting in settings:
            lines += [*_wrap(setting.summary, indent="# "), f"#{setting.variable}={setting.default}"]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def render_markdown() -> str:
    """Return the text of `docs/reference/settings.md`: a table per group, then the details."""
    parts = [_MARKDOWN_HEAD]
    for title, settings in group_settings():
        rows = ["| variable | default | meaning |", "|---|---|---|"]
        for setting in settings:
            default = f"`{setting.default}`" if setting.default else "unset"
            rows.append(f"| `{setting.variable}` | {default} | {setting.summary} |")
        details: list[str] = []
        for setting in settings:
            if setting.details:
                details += _wrap(f"`{setting.variable}`: {_link(setting.details)}", indent="- ", later="  ")
        parts += [f"## {title}\n", "\n".join(rows) + "\n"]
        if details:
            parts.append("\n".join(details) + "\n")
    return "\n".join(parts)


def group_settings() -> Iterator[tuple[str, list[Setting]]]:
    """Yield the title and the settings of each group, in the order of `GROUPS`: inherited fields come first."""
    groups: dict[str, list[Setting]] = {title: [] for title in GROUPS.values()}
    title = ""
    for name, field in Settings.model_fields.items():
        title = GROUPS.get(name, title)
        groups[title].append(_describe(name, field))
    yield from groups.items()


def _describe(name: str, field: FieldInfo) -> Setting:
    description = " ".join((field.description or "").split())
    summary, _, details = description.partition(". ")
    return Setting(
        variable=f"{Settings.model_config['env_prefix']}{name}".upper(),
        default=_format_default(field.default),
        summary=summary.removesuffix(".") + ".",
        details=details,
    )


def _format_default(default: Any) -> str:
    if default is None or default == []:
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


def _link(text: str) -> str:
    """Turn the paths of documents into links from `docs/reference/`."""

    def to_link(path: re.Match[str]) -> str:
        return f"[{path[0]}]({os.path.relpath(path[0], 'docs/reference')})"

    return re.sub(r"\b(?:docs/[\w/-]+|PERFORMANCE)\.md", to_link, text)


def _wrap(text: str, *, indent: str, later: str | None = None) -> list[str]:
    # Never break a line within code: non-breaking spaces stand for its spaces meanwhile.
    text = re.sub(r"`[^`]+`", lambda code: code[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    lines = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent if later is None else later,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
