"""Check that a variable that is no setting is refused, with the name of the setting that was probably meant."""

from pathlib import Path

import pytest

from app.cli.settings import command_settings
from app.errors import OperatorError
from app.settings import Settings, load_settings
from app.unknown_settings import UnknownSetting, refuse_unknown


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("VULTUS_SIGNUP_ENABLD", "VULTUS_SIGNUP_ENABLED"),
        ("vultus_signup_enable", "VULTUS_SIGNUP_ENABLED"),
        ("VULTUS_SIGN_UP_ENABLED", "VULTUS_SIGNUP_ENABLED"),
        ("VULTUS_MORE_MODEL_PACKS", "VULTUS_EXTRA_MODEL_PACKS"),
        ("VULTUS_SEARCH_WHOLE_LIMIT", "VULTUS_SEARCH_CACHE_WHOLE_LIMIT"),
        ("VULTUS_SEARCH_GRAPH_FROM", "VULTUS_SEARCH_HNSW_FROM"),
        ("VULTUS_SECRET", "VULTUS_SECRET_KEY"),
    ],
)
def test_a_misspelled_setting_is_refused_with_the_nearest_name(name: str, nearest: str) -> None:
    with pytest.raises(UnknownSetting, match=rf"^{name.upper()} is not a setting; did you mean {nearest}\?$"):
        refuse_unknown({name: "hunter2"}, Settings.model_fields)


@pytest.mark.parametrize("name", ["VULTUS_", "VULTUS_QQQQ", "VULTUS_PORT"])
def test_a_name_like_no_other_is_refused_too(name: str) -> None:
    with pytest.raises(UnknownSetting, match="is not a setting"):
        refuse_unknown({name: "8000"}, Settings.model_fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((f"VULTUS_{field}".upper(), "x") for field in Settings.model_fields),
        ("vultus_secret_key", "x"),
        ("VULTUS_API_KEY", "x"),
        ("MY_VULTUS_SETTING", "x"),
        ("VULTUSX", "x"),
        ("VULTUS_SERVICE_HOST", "10.0.0.1"),
        ("VULTUS_SERVICE_PORT", "8000"),
        ("VULTUS_SERVICE_PORT_HTTP", "8000"),
        ("VULTUS_PORT", "tcp://10.0.0.1:8000"),
        ("VULTUS_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ("VULTUS_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("VULTUS_DB_SERVICE_HOST", "10.0.0.1"),
        ("VULTUS_DB_PORT_5432_TCP_PROTO", "tcp"),
    ],
)
def test_settings_and_the_variables_of_kubernetes_pass(name: str, value: str) -> None:
    refuse_unknown({name: value}, Settings.model_fields)


def test_every_unknown_name_is_in_one_line_and_no_value_is() -> None:
    with pytest.raises(UnknownSetting) as refused:
        refuse_unknown({"VULTUS_A": "hunter2", "VULTUS_LOG_LEVEL": "info", "VULTUS_B": "hunter2"}, ["log_level"])
    assert str(refused.value).count("is not a setting") == 2
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_the_proxy_setting_of_earlier_versions_is_refused_unless_its_successor_is_set() -> None:
    former = {"FORWARDED_ALLOW_IPS": "10.0.0.1"}
    with pytest.raises(UnknownSetting, match="FORWARDED_ALLOW_IPS has no effect; set VULTUS_TRUSTED_PROXIES"):
        refuse_unknown(former, Settings.model_fields)
    refuse_unknown({**former, "VULTUS_TRUSTED_PROXIES": "10.0.0.1"}, Settings.model_fields)


@pytest.mark.parametrize("line", ["VULTUS_SIGNUP_ENABLD=false", "FORWARDED_ALLOW_IPS=10.0.0.1"])
def test_the_env_file_is_checked_too(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"OTHER=1\nVULTUS_LOG_LEVEL=warning\n{line}\n")
    load_settings.cache_clear()
    try:
        with pytest.raises(OperatorError, match=f"^{line.partition('=')[0]} in .env "):
            command_settings()
    finally:
        load_settings.cache_clear()
