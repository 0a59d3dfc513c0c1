from __future__ import annotations

from typing import Any

from netally.api.about import about
from netally.api.bus import LiveBus
from netally.api.visible import EVERY_HOST
from netally.contracts.live_settings import AggregatorConfig, Retention
from netally.contracts.wire import encode_json
from tests.scripted_database import ScriptedDatabase, make_fleet_row
from tests.settings_bus import SettingsBus


async def test_what_is_not_known_without_the_bus_is_said() -> None:
    deployment: dict[str, Any] = {"backend": "timescaledb", "timezone": "UTC", "created_at": 5}
    deployment |= {"server_version": "17.5", "timescaledb_version": "2.24"}
    tiers: list[dict[str, Any]] = [
        {"name": "raw", "dropped_before": 7, "watermark": None},
        {"name": "1m", "dropped_before": None, "watermark": 9},
    ]
    fleet = [
        make_fleet_row(1, "a", version="2"),
        make_fleet_row(2, "b", version="1"),
        make_fleet_row(3, "c", kind="replay"),
    ]
    database = ScriptedDatabase(about=[deployment], tiers_about=tiers, fleet=fleet)
    answer = await about.fn(
        database=database.as_database(), bus=LiveBus("nats://127.0.0.1:9", lambda _: True), visible=EVERY_HOST
    )
    assert answer.database_version == "PostgreSQL 17.5, TimescaleDB 2.24"
    assert (answer.hosts, answer.agent_versions, answer.retention_known) == (2, ["1", "2"], False)
    assert [(tier.dropped_before, tier.stored_until, tier.retention_days) for tier in answer.tiers] == [
        (7, None, None),
        (None, 9, None),
    ]


async def test_retention_in_force_is_told_per_tier() -> None:
    bus = SettingsBus(encode_json(AggregatorConfig(retention=Retention(raw=7, minutes=30, hours=365))))
    tiers = [{"name": name, "dropped_before": None, "watermark": None} for name in ("raw", "1m", "1h", "1d")]
    deployment = {
        "backend": "postgresql",
        "timezone": "UTC",
        "created_at": 5,
        "server_version": "18",
        "timescaledb_version": None,
    }
    database = ScriptedDatabase(about=[deployment], tiers_about=tiers, fleet=[])
    answer = await about.fn(database=database.as_database(), bus=bus.as_bus(), visible=EVERY_HOST)
    assert answer.retention_known
    assert [tier.retention_days for tier in answer.tiers] == [7, 30, 365, None]
