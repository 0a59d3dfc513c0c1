"""deploy/kubernetes: every overlay is built and held against the schemas of Kubernetes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from netally.cli import hub
from netally.contracts.forwarding import proxies

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


def given(pod: Resource) -> dict[str, str]:
    """Key of the hub's secret by the path at which the pod finds it."""
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    return {
        f"{mount['mountPath']}/{item['path']}": item["key"]
        for mount in container["volumeMounts"]
        for item in volumes.get(mount["name"], {}).get("secret", {}).get("items", [])
    }


def test_mounted_files_are_those_that_the_variables_name(resources: list[Resource]) -> None:
    for name, pod in pods(resources).items():
        for variable in pod["containers"][0].get("env", []):
            value = variable.get("value", "")
            if variable["name"].endswith("_FILE") and value != "/run/agent/host.seed":
                assert value in given(pod), f"{name}: {variable}"


def test_each_pod_is_given_no_secret_but_its_own(resources: list[Resource], tmp_path: Path) -> None:
    found = {name: set(given(pod).values()) for name, pod in pods(resources).items()}
    assert found == {
        "StatefulSet/nats": {"nats.conf", "server.pem", "server.key"},
        "Job/migrate": {"database-url"},
        "Deployment/aggregator": {"ca.pem", "aggregator.seed", "database-url"},
        "Deployment/api": {"ca.pem", "api.seed", "database-url", "admin-token"},
        "Deployment/web": set(),
        "DaemonSet/agent": {"ca.pem"},
    }
    # Docs name these and no others; in the hub's directory they are, and NATS asks for nothing else there.
    hub.init(tmp_path / "hub", ["nats.netally.svc"], 4222)
    hub.make_secrets(tmp_path / "hub", "database")
    wanted = set().union(*found.values())
    assert wanted <= {path.name for path in (tmp_path / "hub").iterdir()}
    (listed,) = re.findall(r"--from-file=hub/%s ' \\\n +(.+?)\)", (ROOT / "docs/install.md").read_text("utf-8"))
    assert set(listed.split()) == wanted
    config = (tmp_path / "hub" / hub.CONFIG).read_text()
    assert set(re.findall(r'"/etc/nats/([^"]+)"', config)) | {hub.CONFIG} == found["StatefulSet/nats"]


def test_an_agent_is_given_the_key_of_its_node_alone(resources: list[Resource]) -> None:
    agent = pods(resources)["DaemonSet/agent"]
    (container,) = agent["containers"]
    (volume,) = [each for each in agent["volumes"] if each.get("secret", {}).get("secretName") == "netally-agents"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == volume["name"]]
    assert (mount["mountPath"], mount["subPathExpr"]) == ("/run/agent/host.seed", "$(NODE_NAME)")
    variables = {each["name"]: each for each in container["env"]}
    assert variables["NETALLY_NATS_SEED_FILE"]["value"] == mount["mountPath"]
    assert variables["NODE_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"


def test_whoever_passes_requests_on_is_believed(resources: list[Resource]) -> None:
    """Else the session's cookie is not Secure behind the ingress, and all people share one limit on attempts."""
    for name in ("Deployment/web", "Deployment/api"):
        variables = {each["name"]: each.get("value") for each in pods(resources)[name]["containers"][0]["env"]}
        for pod in ("10.1.2.3", "172.17.0.4", "192.168.3.4", "100.64.1.2", "fd00::5"):
            assert proxies(variables["NETALLY_TRUSTED_PROXIES"] or "").believe(pod)
        assert not proxies(variables["NETALLY_TRUSTED_PROXIES"] or "").believe("203.0.113.9")
