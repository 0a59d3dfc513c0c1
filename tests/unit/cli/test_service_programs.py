from __future__ import annotations

from pathlib import Path

from netally.cli.programs import Program
from netally.cli.service_programs import answers_ready, readiness_urls, reason_in, service_programs
from netally.cli.settings import CliSettings

LINKS = {
    "NETALLY_NATS_URL": "nats://own",
    "NETALLY_DATABASE_URL": "postgresql://own",
    "NETALLY_ADMIN_TOKEN": "token",
    "NETALLY_TIMEZONE": "Europe/Berlin",
}


SEEDS = {"aggregator": Path("/hub/aggregator.seed"), "capture": Path("/hub/host.seed")}


def programs(**environ: str) -> dict[str, Program]:
    settings = CliSettings(data_dir="/data", api_port=9001)
    return {program.name: program for program in service_programs(settings, environ, LINKS, SEEDS)}


def test_each_service_gets_the_secrets_it_needs_and_no_others() -> None:
    started = programs(
        NETALLY_ADMIN_TOKEN="token", NETALLY_NATS_URL="nats://foreign", NETALLY_DATABASE_URL="x", PATH="/bin"
    )
    secrets = {
        name: {key: value for key, value in program.environ.items() if key in LINKS and key != "NETALLY_TIMEZONE"}
        for name, program in started.items()
    }
    assert secrets == {
        "aggregator": {"NETALLY_NATS_URL": "nats://own", "NETALLY_DATABASE_URL": "postgresql://own"},
        "api": {name: LINKS[name] for name in ("NETALLY_NATS_URL", "NETALLY_DATABASE_URL", "NETALLY_ADMIN_TOKEN")},
        "web": {},
        "capture": {"NETALLY_NATS_URL": "nats://own"},
    }
    assert all(program.environ["PATH"] == "/bin" for program in started.values())


def test_each_service_shows_the_bus_its_own_key() -> None:
    shown = {name: program.environ.get("NETALLY_NATS_SEED_FILE") for name, program in programs().items()}
    assert shown == {"aggregator": "/hub/aggregator.seed", "api": None, "web": None, "capture": "/hub/host.seed"}


def test_no_secret_is_on_a_command_line() -> None:
    for program in programs().values():
        assert not set(program.argv) & set(LINKS.values())


def test_services_are_told_where_things_are_by_absolute_paths() -> None:
    web = programs(NETALLY_CONFIG="own.toml")["web"]
    assert web.environ["NETALLY_DATA_DIR"] == "/data"
    assert web.environ["NETALLY_API_URL"] == "http://127.0.0.1:9001"
    assert web.environ["NETALLY_TIMEZONE"] == "Europe/Berlin"
    assert web.environ["NETALLY_CONFIG"].startswith("/")


async def test_a_probe_that_is_switched_off_counts_as_ready() -> None:
    urls = readiness_urls(CliSettings(capture_port=0))
    assert urls["capture"] == ""
    assert await answers_ready(urls["capture"])(1) == ""


def test_the_reason_is_read_from_both_kinds_of_probe() -> None:
    assert reason_in('{"ready": false, "waiting_for": {"bus": "refused"}}', 503) == "bus: refused"
    parts = (
        '{"ready": false, "parts": [{"name": "bus", "ready": true, "reason": ""}, '
        '{"name": "database", "ready": false, "reason": "starting"}]}'
    )
    assert reason_in(parts, 503) == "database: starting"
    for body in ("", "<html>", "[]", '{"parts": [{}]}'):
        assert reason_in(body, 502) == "it answers with status 502"
