"""deploy/compose/compose.yaml against the compose specification, and what it promises."""

from __future__ import annotations

import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

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
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert ("cap_add" in service) == (name == "agent")
            assert ("user" in service) == (name == "agent")


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
            assert source.startswith("./hub") or source in compose["volumes"]
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
    from netally.cli import hub

    named = {Path(secret["file"]) for secret in read()["secrets"].values()}
    made = {hub.CA, *(f"{name}.seed" for name in hub.SERVICES), "database-password", "database-url", "admin-token"}
    assert {path.name for path in named if path.parent.name == "hub"} == made
    assert {path.name for path in named if path.parent.name == "agent"} == {hub.CA, hub.OWN_SEED}
