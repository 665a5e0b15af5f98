"""Check that settings are documented and that unsafe values are refused."""

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from app.cli import cli
from app.cli.settings_reference import render_env, render_markdown
from app.setting_groups import GROUPS
from app.setting_tracing import TracingSettings
from app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
STRONG = "correct-horse-battery-staple-0123456789"


def make(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


def test_the_example_file_lists_every_setting_with_its_default() -> None:
    lines = re.findall(r"^#?(VULTUS_[A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    documented = dict(lines)
    defaults = {f"VULTUS_{name.upper()}": field.default for name, field in Settings.model_fields.items()}
    assert documented.keys() == defaults.keys()
    for name, default in defaults.items():
        expected = (
            ""
            if default is None or default == []
            else str(default).lower()
            if isinstance(default, bool)
            else str(default)
        )
        assert documented[name] == expected, name


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description
    assert description.rstrip().endswith(".")


def test_groups_begin_at_settings_in_their_order() -> None:
    begun = [name for name in Settings.model_fields if name in GROUPS]
    own = [name for name in GROUPS if name not in TracingSettings.model_fields]
    assert sorted(begun) == sorted(GROUPS)
    assert begun[-len(own) :] == own
    assert next(iter(Settings.model_fields)) in GROUPS


@pytest.mark.parametrize(
    ("path", "render", "form"),
    [
        (".env.example", render_env, "env"),
        ("docs/reference/settings.md", render_markdown, "markdown"),
    ],
)
def test_the_settings_reference_is_up_to_date(path: str, render: Callable[[], str], form: str) -> None:
    text = render()
    assert (ROOT / path).read_text() == text, "run: make reference"
    assert not [line for line in text.splitlines() if len(line) >= 120]
    assert CliRunner().invoke(cli, ["settings", "--format", form]).stdout == text


def test_the_example_file_is_loadable(tmp_path: Path) -> None:
    uncommented = re.sub(r"^#(VULTUS_\w+=.+)$", r"\1", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(uncommented)
    assert Settings(_env_file=tmp_path / ".env") == make()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"environment": "production"}, "VULTUS_SECRET_KEY must be set"),
        ({"secret_key": "short"}, "shorter than 32 bytes"),
        ({"secret_key": "a" * 64}, "fewer than 10 distinct characters"),
        ({"database_url": "mysql://root:hunter2@db/x"}, "not a postgresql:// address"),
        ({"min_brightness": 200, "max_brightness": 100}, "below VULTUS_MAX_BRIGHTNESS"),
        ({"previous_secret_keys": "hunter2"}, "VULTUS_PREVIOUS_SECRET_KEYS is shorter"),
        ({"environment": "production", "secret_key": STRONG, "cors_origins": "*"}, "must name the origins"),
        ({"environment": "production", "secret_key": STRONG, "log_level": "debug"}, "must not be debug"),
        ({"public_rate": "often"}, "public_rate"),
        ({"public_rate": "5/999999999999 day"}, "public_rate"),
        ({"operator_token": "hunter2"}, "VULTUS_OPERATOR_TOKEN is shorter"),
        ({"match_threshold": 2}, "less than or equal to 1"),
        ({"inference_queue": -1}, "greater than or equal to 0"),
    ],
)
def test_unsafe_or_invalid_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as raised:
        make(**values)
    errors = raised.value.errors(include_input=False)
    assert "hunter2" not in str(errors)


def test_a_refused_endpoint_is_not_quoted() -> None:
    endpoints = ["https://minio.example", "https://ada:secret-word@minio.example"]
    with pytest.raises(ValueError, match="entry 2 is not an origin") as refused:
        Settings(object_store_endpoints=endpoints)
    assert "secret-word" not in str(refused.value)


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    settings = make(secret_key=STRONG, database_url="postgresql://u:hunter2@db/x")
    assert STRONG not in repr(settings)
    assert "hunter2" not in repr(settings)


def test_development_creates_one_private_secret(tmp_path: Path) -> None:
    settings = make(data_dir=tmp_path / "data")
    (secret,) = settings.signing_keys()
    assert settings.signing_keys() == [secret]
    assert len(secret) >= 32
    assert stat.S_IMODE((tmp_path / "data" / "secret.key").stat().st_mode) == 0o600


def test_production_uses_the_configured_secrets() -> None:
    previous = STRONG[::-1]
    settings = make(environment="production", secret_key=STRONG, previous_secret_keys=previous)
    assert settings.signing_keys() == [STRONG.encode(), previous.encode()]


@pytest.mark.parametrize(
    "host",
    [
        "photos.example", "photos.example:8443", "http://10.0.0.5:9000", "https://photos.example", "[2606:4700::1111]",
        "http://[fd00::1]:9000", "minio", "xn--mnchen-3ya.example",
    ],
)  # fmt: skip
def test_hosts_for_photos_are_exact(host: str) -> None:
    assert Settings(image_url_hosts=[host]).image_url_hosts == [host]


@pytest.mark.parametrize(
    "host",
    [
        "*", "*.photos.example", "photos.example/path", "user:password@photos.example", "ftp://photos.example", "",
        "photos.example:0", "photos.example:65536", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.",
        "[127.0.0.1", "[::ffff:1", "[0:0:0:0:0:0:0:1]", "münchen.example", "photos.example?", "10.0.0.0/8",
    ],
)  # fmt: skip
def test_what_is_no_host_for_photos_is_refused_without_quoting_it(host: str) -> None:
    with pytest.raises(ValidationError, match="entry 1 is not a host") as refused:
        Settings(image_url_hosts=[host])
    assert "password" not in str(refused.value)


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "photos.example", "10.0.0.0/33"])
def test_networks_for_photos_are_networks_and_not_everything(network: str) -> None:
    with pytest.raises(ValidationError):
        Settings(image_url_networks=[network])
