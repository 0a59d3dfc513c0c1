"""deploy/kubernetes: every overlay is built and held against the schemas of Kubernetes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = sorted((ROOT / "deploy" / "kubernetes" / "overlays").iterdir())
VERSIONS = ("1.30", "1.34")
"""The oldest and the newest that are meant to work."""
Resource = dict[str, Any]


@pytest.fixture(scope="module", params=OVERLAYS, ids=lambda path: path.name)
def resources(request: pytest.FixtureRequest) -> list[Resource]:
    """What `kubectl apply -k` would send."""
    done = subprocess.run(["kubectl", "kustomize", request.param], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def pods(resources: list[Resource]) -> dict[str, Resource]:
    """Pod specification by "kind/name"."""
    return {
        f"{each['kind']}/{each['metadata']['name']}": each["spec"]["template"]["spec"]
        for each in resources
        if "template" in each.get("spec", {})
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_follows_its_schema(resources: list[Resource], version: str) -> None:
    assert len(resources) > 15
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)


def test_there_is_what_a_fleet_needs(resources: list[Resource]) -> None:
    kinds = {(each["kind"], each["metadata"]["name"]) for each in resources}
    assert kinds >= {
        ("DaemonSet", "agent"), ("StatefulSet", "nats"), ("Deployment", "aggregator"), ("Deployment", "api"),
        ("Deployment", "web"), ("Job", "migrate"), ("Ingress", "web"), ("NetworkPolicy", "deny-all"),
        ("PodDisruptionBudget", "aggregator"), ("HorizontalPodAutoscaler", "api"),
    }  # fmt: skip


def test_only_the_agent_has_rights(resources: list[Resource]) -> None:
    for name, pod in pods(resources).items():
        (container,) = pod["containers"]
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"]["drop"] == ["ALL"]
        assert pod["automountServiceAccountToken"] is False
        is_agent = name == "DaemonSet/agent"
        assert ("add" in context["capabilities"]) == is_agent
        assert bool(pod.get("hostNetwork")) == is_agent
        if not is_agent:
            assert pod["securityContext"]["runAsNonRoot"] is True
        assert {"requests", "limits"} <= set(container["resources"])


def test_everything_that_runs_on_is_probed(resources: list[Resource]) -> None:
    for name, pod in pods(resources).items():
        if not name.startswith("Job/"):
            assert "livenessProbe" in pod["containers"][0], name


def test_what_is_named_exists(resources: list[Resource]) -> None:
    deployments = {each["metadata"]["name"] for each in resources if each["kind"] == "Deployment"}
    services = {each["metadata"]["name"]: each["spec"] for each in resources if each["kind"] == "Service"}
    labels = [
        each["spec"]["template"]["metadata"]["labels"] for each in resources if "template" in each.get("spec", {})
    ]
    for each in resources:
        assert each["metadata"].get("namespace", "netally") == "netally"
        if each["kind"] == "HorizontalPodAutoscaler":
            assert each["spec"]["scaleTargetRef"]["name"] in deployments
    for name, service in services.items():
        ports = {port["port"] for port in service["ports"]}
        serving = [pod for key, pod in pods(resources).items() if key.split("/")[1] == name]
        assert ports <= {port["containerPort"] for pod in serving for port in pod["containers"][0]["ports"]}
        assert any(service["selector"].items() <= each.items() for each in labels)
    text = json.dumps(resources)
    for variable in ("NETALLY_DATABASE_URL_FILE", "NETALLY_NATS_SEED_FILE", "NETALLY_NATS_CA_FILE"):
        assert variable in text
    assert 'NETALLY_DATABASE_URL"' not in text


def test_mounted_files_are_those_that_the_variables_name(resources: list[Resource]) -> None:
    for name, pod in pods(resources).items():
        (container,) = pod["containers"]
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        files = {
            f"{mount['mountPath']}/{item['path']}"
            for mount in container["volumeMounts"]
            for item in volumes.get(mount["name"], {}).get("secret", {}).get("items", [])
        }
        for variable in container.get("env", []):
            value = variable.get("value", "")
            if variable["name"].endswith("_FILE") and not value.startswith("/run/agents/"):
                assert value in files, f"{name}: {variable}"
