"""`vultus init`: write a production `.env` with secrets made, and the SQL that prepares PostgreSQL for it."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import StringConstraints

from app.cli.operator import checked
from app.cli.tables import AsJson, Quiet, show_rows
from app.errors import OperatorError
from app.ml.packs.pack import MIRROR_SUFFIX
from app.ml.published import PUBLISHED
from app.persistence.provisioning.roles_script import write_roles_script
from app.security.passwords import generate_password
from app.setting_formats import generate_secret

_OWNER, _SERVICE, _DATABASE = "vultus_owner", "vultus", "vultus"
_ROLES_FILE = "roles.sql"
_BUCKET = "waiting"

Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.\-]{1,253}(:\d{1,5})?$")]


class Layout(StrEnum):
    """Where Vultus will run."""

    HOST = "host"
    """On a host with PostgreSQL and a proxy: deploy/systemd, deploy/nginx, deploy/caddy."""
    COMPOSE = "compose"
    """In the containers of deploy/compose."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The files of a new installation, their modes, and what to do with them."""

    files: Mapping[Path, tuple[str, int]]
    steps: list[str]


def init(
    file: Annotated[Path, typer.Argument(help="The file to write.", dir_okay=False)] = Path(".env"),
    layout: Annotated[Layout, typer.Option(help="On a host, or in the containers of deploy/compose.")] = Layout.HOST,
    database_host: Annotated[
        str | None, typer.Option(help="PostgreSQL's host, or HOST:PORT; `localhost` on a host.")
    ] = None,
    domain: Annotated[str, typer.Option(help="The name under which clients reach the service.")] = "localhost",
    pack: Annotated[str, typer.Option(help="The model pack; mind its license.")] = "buffalo_l",
    data_dir: Annotated[
        Path, typer.Option(help="On a host: the directory of the journal, the photos that wait, and the packs.")
    ] = Path("/var/lib/vultus"),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a production .env with new secrets, and roles.sql beside it. Never overwrites a file.

    The secret key protects every stored template: keep a copy of it apart from the backups.
    """
    database_host = checked(Host, database_host or _default_host(layout), "--database-host")
    domain = checked(Host, domain, "--domain")
    passwords = {login: generate_password() for login in (_OWNER, _SERVICE)}
    values = {
        "VULTUS_ENVIRONMENT": "production",
        "VULTUS_SECRET_KEY": generate_secret(),
        "VULTUS_METRICS_TOKEN": generate_secret(),
        "VULTUS_DATABASE_URL": f"postgresql://{_SERVICE}:{passwords[_SERVICE]}@{database_host}/{_DATABASE}",
        "VULTUS_DATABASE_ADMIN_URL": f"postgresql://{_OWNER}:{passwords[_OWNER]}@{database_host}/{_DATABASE}",
        "VULTUS_SIGNUP_ENABLED": "false",
        "VULTUS_MODEL_PACK": pack,
    }
    if layout is Layout.COMPOSE:
        values |= _compose_values(domain)
    else:
        values |= _host_values(data_dir)
    roles = write_roles_script(_DATABASE, (_OWNER, passwords[_OWNER]), (_SERVICE, passwords[_SERVICE]))
    # In a container, PostgreSQL reads the script as a user of its own.
    files = {file: (_render(values), 0o600), file.parent / _ROLES_FILE: (roles, _roles_mode(layout))}
    plan = Plan(files, _next_steps(layout, file, domain, pack))
    _write(plan)
    _show(plan, as_json, quiet)


def _default_host(layout: Layout) -> str:
    return "postgres" if layout is Layout.COMPOSE else "localhost"


def _roles_mode(layout: Layout) -> int:
    return 0o644 if layout is Layout.COMPOSE else 0o600


def _host_values(data_dir: Path) -> dict[str, str]:
    data_dir = data_dir.expanduser().absolute()
    return {
        "VULTUS_DATA_DIR": str(data_dir),
        "VULTUS_MODEL_CACHE": str(data_dir / "insightface"),
        "VULTUS_TRUSTED_PROXIES": "127.0.0.1,::1",
    }


def _compose_values(domain: str) -> dict[str, str]:
    valkey = generate_password()
    return {
        "VULTUS_REDIS_URL": f"redis://:{valkey}@valkey:6379/0",
        "VULTUS_PHOTO_STORE": f"s3://{_BUCKET}/photos",
        "VULTUS_PHOTO_STORE_ENDPOINT": "http://seaweedfs:8333",
        "VULTUS_PHOTO_STORE_ACCESS_KEY_ID": "vultus",
        "VULTUS_PHOTO_STORE_SECRET_ACCESS_KEY": generate_secret(),
        "VALKEY_PASSWORD": valkey,
        "POSTGRES_PASSWORD": generate_password(),
        "GRAFANA_PASSWORD": generate_password(),
        "DOMAIN": domain,
    }


def _render(values: Mapping[str, str]) -> str:
    head = (
        "# Settings of Vultus in production, written by `vultus init`. Keep this file secret, and a copy of\n"
        "# VULTUS_SECRET_KEY apart from the backups: without it, stored templates are worthless.\n"
        "# `vultus settings` lists what else can be set; `vultus doctor` checks it.\n"
    )
    return head + "".join(f"{name}={value}\n" for name, value in values.items())


def _next_steps(layout: Layout, file: Path, domain: str, pack: str) -> list[str]:
    is_published = pack.removesuffix(MIRROR_SUFFIX) in PUBLISHED
    terms = "InsightFace publishes it for research only." if is_published else "`vultus models show` prints it."
    license_step = f"Mind the license of the model pack {pack}: {terms}"
    keep = f"Store a copy of VULTUS_SECRET_KEY, from {file}, apart from the backups."
    tenant = 'tenants create "NAME" --email EMAIL'
    if layout is Layout.COMPOSE:
        return [
            license_step,
            keep,
            "docker compose up --detach",
            f"docker compose run --rm operator {tenant}",
            f"Open https://{domain}/docs.",
        ]
    return [
        license_step,
        keep,
        f"sudo -u postgres psql < {file.parent / _ROLES_FILE}, then delete that file.",
        "vultus migrate",
        "vultus doctor",
        "vultus serve, behind a proxy with HTTPS (deploy/nginx, deploy/caddy), and vultus worker (deploy/systemd).",
        f"vultus {tenant}",
    ]


def _write(plan: Plan) -> None:
    """Write every file or none; raises `OperatorError` if one exists."""
    written: list[Path] = []
    try:
        for path, (text, mode) in plan.files.items():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            written.append(path)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(text)
            path.chmod(mode)
    except OSError as exc:
        for path in written:
            with suppress(OSError):
                path.unlink()
        if isinstance(exc, FileExistsError):
            raise OperatorError(
                f"{exc.filename} exists already and stays as it is: its secrets may be in use. Name another file."
            ) from None
        raise OperatorError(f"{exc.filename or file_names(plan)} cannot be written: {exc.strerror or exc}.") from None


def file_names(plan: Plan) -> str:
    """Return the names of a plan's files, for a message."""
    return ", ".join(map(str, plan.files))


def _show(plan: Plan, as_json: bool, quiet: bool) -> None:
    if as_json or quiet:
        show_rows([{"file": str(path)} for path in plan.files], as_json, quiet)
        return
    typer.echo(f"Written: {file_names(plan)}")
    typer.echo("What to do next:")
    for number, step in enumerate(plan.steps, 1):
        typer.echo(f"  {number}. {step}")
