"""Alerts and dashboard: promtool accepts and tests them, and they name only metrics that Vultus exports."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from app.telemetry import metrics
from tests.deploy.proxies import ROOT, find_program

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "vultus.json"


def promtool(*arguments: str | Path) -> None:
    program = find_program("promtool", "apt install prometheus")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def exported() -> set[str]:
    """The names of all series of `/metrics`."""
    names = set()
    for name, kind, _, _ in metrics.describe():
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    queue = metrics.expose_queue(0, 0, 0.0, 0).decode()
    return names | set(re.findall(r"^# TYPE (\w+)", queue, re.MULTILINE))


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert len(queries) > 10
    return queries + [alert["expr"] for alert in alerts()]


def test_promtool_accepts_the_rules_and_their_tests_hold() -> None:
    promtool("check", "rules", PROMETHEUS / "alerts.yaml")
    promtool("test", "rules", PROMETHEUS / "alerts_test.yaml")
    promtool("check", "config", "--syntax-only", PROMETHEUS / "prometheus.yaml")


def test_every_alert_is_tested_to_fire_and_to_be_silent() -> None:
    names = {alert["alert"] for alert in alerts()}
    fires, silent = set[str](), set[str]()
    for test in yaml.safe_load((PROMETHEUS / "alerts_test.yaml").read_text())["tests"]:
        for one in test["alert_rule_test"]:
            (fires if one["exp_alerts"] else silent).add(one["alertname"])
    assert fires == names
    assert silent == names


def test_alerts_and_dashboard_name_only_exported_metrics() -> None:
    named = {name for one in expressions() for name in re.findall(r"\bvultus_\w+", one)}
    assert named <= exported()


def test_every_metric_is_in_the_dashboard() -> None:
    text = DASHBOARD.read_text()
    assert not [name for name, _, _, _ in metrics.describe() if name not in text]


def test_every_alert_belongs_to_a_documented_objective() -> None:
    text = (ROOT / "docs" / "how-to" / "watch-the-service.md").read_text()
    assert set(re.findall(r"`(Vultus\w+)`", text)) == {alert["alert"] for alert in alerts()}


def test_routes_in_queries_exist() -> None:
    from app.main import create_app
    from app.routes.coverage import route_dependencies

    paths = {route.split(" ", 1)[-1] for route in route_dependencies(create_app())}
    for one in expressions():
        for pattern in re.findall(r'route=~?"([^"]+)"', one):
            prefix, _, rest = pattern.partition("(")
            for path in [prefix + part for part in rest.rstrip(")").split("|")] if rest else [pattern]:
                assert path in paths, path
