"""deploy/compose/compose.yaml against the compose specification, and what it promises."""

from __future__ import annotations

import importlib.resources
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from netally.cli import hub
from netally.cli.fleet import join

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy" / "compose" / "compose.yaml"
OURS = {"aggregator", "api", "web", "agent"}


def read() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return loaded


def test_it_follows_the_compose_specification() -> None:
    schema = json.loads(
        importlib.resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text()
    )
    jsonschema.validators.validator_for(schema)(schema).validate(read())


def test_foreign_images_are_pinned() -> None:
    for name, service in read()["services"].items():
        if name not in OURS:
            assert re.search(r":\d+\.\d+\.\d+(-|$)", service["image"]), name


def test_ours_run_without_rights_on_a_root_that_cannot_be_written() -> None:
    for name, service in read()["services"].items():
        if name in OURS:
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            is_agent = name == "agent"
            confined = ["apparmor:unconfined"] if is_agent else []
            assert service["security_opt"] == ["no-new-privileges:true", *confined]
            for sees_the_machine in ("network_mode", "pid", "cgroup"):
                assert service.get(sees_the_machine) == ("host" if is_agent else None)
            assert ("cap_add" in service) == is_agent
            assert ("user" in service) == is_agent


def test_no_secret_is_in_the_file_or_in_an_environment() -> None:
    secret = re.compile(r"password|token|seed|database_url", re.I)
    for service in read()["services"].values():
        for variable, value in service.get("environment", {}).items():
            if secret.search(variable):
                assert variable.endswith("_FILE")
                assert value.startswith("/run/secrets/")
                assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_every_named_secret_volume_file_and_dependency_exists() -> None:
    compose = read()
    assert (COMPOSE.parent / "../.." / "deploy/Dockerfile").resolve().is_file()
    for service in compose["services"].values():
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in ("./hub", "./agent") or source in compose["volumes"]
        if "build" in service:
            assert service["build"]["dockerfile"] == "deploy/Dockerfile"
            assert (ROOT / "services" / service["build"]["args"]["SERVICE"]).is_dir()


def test_parts_start_when_what_they_need_is_healthy() -> None:
    services = read()["services"]
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in services[needed]
    assert all("healthcheck" in service for service in services.values())


def test_what_init_makes_is_what_the_file_names() -> None:
    named = {Path(secret["file"]) for secret in read()["secrets"].values()}
    made = {hub.CA, *(f"{name}.seed" for name in hub.SERVICES), "database-password", "database-url", "admin-token"}
    assert {path.name for path in named if path.parent.name == "hub"} == made
    assert all(path.parent.name == "hub" for path in named)


def test_an_agent_is_who_join_made_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of docs/install.md writes what the agent's container finds at the same places."""
    commands = (ROOT / "docs" / "install.md").read_text("utf-8").replace("\\\n", "")
    (command,) = re.findall(r"docker run .*netally-cli +join .*", commands)
    assert '"$PWD/deploy/compose/agent:/agent"' in command
    variables = dict(re.findall(r"-e (\w+)=(\S+)", command))
    agent = read()["services"]["agent"]
    assert agent["environment"]["NETALLY_CONFIG"] == variables["NETALLY_CONFIG"]
    assert "./agent:/agent:ro" in agent["volumes"]
    for name, path in variables.items():
        monkeypatch.setenv(name, str(tmp_path / path.lstrip("/")))
    hub.init(tmp_path / "hub", ["hub.example.org"], 4222)
    done = CliRunner().invoke(join, [hub.add(tmp_path / "hub", "web-1")])
    assert done.exit_code == 0, done.output
    config = tomllib.loads((tmp_path / "agent/netally.toml").read_text())
    assert (config["nats_url"], config["host"]) == ("tls://hub.example.org:4222", "web-1")
    for key in ("nats_ca_file", "nats_seed_file"):
        assert Path(config[key]).is_file()
        assert Path(config[key]).is_relative_to(tmp_path / "agent")


def test_the_database_has_workers_for_all_that_starts_some() -> None:
    """TimescaleDB: one for each database and its launcher; PostgreSQL: parallel queries, and three of its own. Netally
    has no policies of TimescaleDB, whose jobs would be more.
    """
    command = read()["services"]["timescaledb"]["command"]
    given = dict(word.split("=") for word in command if "=" in word)
    needed = int(given["timescaledb.max_background_workers"]) + int(given["max_parallel_workers"]) + 3
    assert int(given["max_worker_processes"]) >= needed
    migrations = (ROOT / "libs/store/src/netally/store").rglob("*.sql")
    assert not [path.name for path in migrations if re.search(r"add_\w+_policy|add_job", path.read_text("utf-8"))]
