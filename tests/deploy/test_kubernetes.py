"""The Kubernetes manifests: they render, their pods are confined, and what they name exists."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def render(name: str) -> list[dict[str, Any]]:
    command = ["kubectl", "kustomize", str(KUBERNETES / name)]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return [one for one in yaml.safe_load_all(rendered) if one]


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    kinds = ("Deployment", "Job")
    return {one["metadata"]["name"]: one["spec"]["template"] for one in objects if one["kind"] in kinds}


@pytest.mark.parametrize("name", ["base", "keda", "cloudnativepg"])
def test_every_object_is_in_the_namespace(name: str) -> None:
    objects = render(name)
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(set(names)) == len(names)
    for one in objects:
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "vultus"


def test_pods_are_confined() -> None:
    found = pods(render("base"))
    assert set(found) == {"vultus-api", "vultus-worker", "vultus-migrate"}
    for pod in found.values():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            mounted = {one["name"] for one in container["volumeMounts"]}
            assert mounted == {one["name"] for one in spec["volumes"]}
            assert "/tmp" in {one["mountPath"] for one in container["volumeMounts"]}


def test_selectors_find_their_pods() -> None:
    objects = render("base")
    labels = [pod["metadata"]["labels"] for pod in pods(objects).values()]
    for one in objects:
        selectors = {
            "Service": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "Deployment": lambda spec: spec["selector"]["matchLabels"],
        }
        if one["kind"] in selectors:
            wanted = selectors[one["kind"]](one["spec"])
            assert any(wanted.items() <= found.items() for found in labels), one["metadata"]["name"]


def test_settings_exist() -> None:
    (config,) = (one for one in render("base") if one["kind"] == "ConfigMap")
    secrets = re.findall(r"^(VULTUS_\w+)=", (KUBERNETES / "base" / "secret.env.example").read_text(), re.MULTILINE)
    known = {f"VULTUS_{name.upper()}" for name in Settings.model_fields}
    assert set(config["data"]) | set(secrets) <= known


def test_keda_asks_a_function_that_exists() -> None:
    (scaled,) = (one for one in render("keda") if one["kind"] == "ScaledObject")
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    assert "vultus_count_waiting_photos()" in query
    assert scaled["spec"]["scaleTargetRef"]["name"] in pods(render("keda"))
    migrations = "".join(path.read_text() for path in (ROOT / "migrations" / "versions").glob("*.py"))
    assert "FUNCTION vultus_count_waiting_photos()" in migrations
