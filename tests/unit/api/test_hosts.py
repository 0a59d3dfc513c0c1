from __future__ import annotations

from netally.api.hosts import hosts
from netally.api.reading import Asking
from netally.api.visible import EVERY_HOST
from netally.contracts.queries import RefusedSum
from tests.scripted_database import ScriptedDatabase, make_fleet_row

NOW = 1_000_000_000_000
INTERFACES = (
    '[{"name": "eth0", "addresses": ["192.0.2.2"], "captured": true},'
    ' {"name": "br0", "addresses": [], "captured": false}]'
)
NEVER: dict[str, None] = dict.fromkeys(
    ("mode", "mode_reason", "version", "interval_seconds", "paused", "reported_at", "spool_batches", "lost_batches",
     "ring_drops", "interfaces", "clock_offset_ms", "complete_until", "heard_at")
)  # fmt: skip


async def test_every_host_is_listed_with_its_state_and_traffic() -> None:
    database = ScriptedDatabase(
        fleet=[
            make_fleet_row(1, "a", heard_at=NOW, interfaces=INTERFACES, lost_batches=2),
            make_fleet_row(2, "b", heard_at=NOW - 60_000),
            make_fleet_row(3, "c", **NEVER),
            make_fleet_row(4, "d.pcap", kind="replay"),
        ],
        sums_by=[{"id": 1, "bytes_in": 10, "bytes_out": 2}, {"id": 4, "bytes_in": 5, "bytes_out": 0}],
    )
    answer = await hosts.fn(asked=Asking(database.as_database(), lambda: NOW, EVERY_HOST))
    assert [(row.name, row.state, row.bytes_in) for row in answer.hosts] == [
        ("a", "reporting", 10),
        ("b", "silent", 0),
        ("c", "never", 0),
        ("d.pcap", "reporting", 5),
    ]
    assert (answer.hosts[0].interfaces, answer.hosts[0].lost_batches) == (["eth0"], 2)
    assert (answer.hosts[2].version, answer.hosts[2].interval, answer.hosts[2].interfaces) == ("", None, [])
    assert answer.meta.hosts_missing == ["b", "c"]
    assert answer.meta.hosts_expected == 3
    # Each host's own figures: replayed captures have theirs here.
    counted = database.counted["sums_by"]
    assert counted is not None
    assert (counted.scopes, counted.both_sides, counted.hosts) == ([0, 1, 2, 4, 5], True, [1, 2, 3, 4])


async def test_only_the_asked_hosts_are_listed() -> None:
    database = ScriptedDatabase(fleet=[make_fleet_row(1, "a"), make_fleet_row(2, "b")], sums_by=[])
    answer = await hosts.fn(asked=Asking(database.as_database(), lambda: 10**12, EVERY_HOST, hosts=["b"]))
    assert [row.name for row in answer.hosts] == ["b"]


async def test_a_host_tells_how_far_its_clock_is_off_and_what_was_refused() -> None:
    database = ScriptedDatabase(
        fleet=[make_fleet_row(1, "a", clock_offset_ms=-90_000), make_fleet_row(2, "b")],
        sums_by=[],
        refused=[
            {"host_id": 1, "reason": "future", "rows": 3, "bytes": 900},
            {"host_id": 1, "reason": "too_old", "rows": 1, "bytes": 60},
            {"host_id": 9, "reason": "invalid", "rows": 1, "bytes": 0},
        ],
    )
    answer = await hosts.fn(asked=Asking(database.as_database(), lambda: NOW, EVERY_HOST))
    assert [(row.clock_offset_ms, row.refused) for row in answer.hosts] == [
        (-90_000, [RefusedSum("future", 3, 900), RefusedSum("too_old", 1, 60)]),
        (None, []),
    ]
    assert database.asked["refused"]["since"] <= NOW
