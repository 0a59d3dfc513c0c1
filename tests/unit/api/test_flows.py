from __future__ import annotations

from typing import Any

import pytest

from netally.api.flows import flows
from netally.api.problems import ProblemError
from netally.api.reading import Asking
from netally.api.visible import EVERY_HOST
from tests.scripted_database import ScriptedDatabase, make_fleet_row

NOW = 1_000_000_000_000
NUMBERS = ("app_id", "domain_id", "server_port", "bytes_in", "bytes_out", "packets_in", "packets_out", "connections")


def row(time: int, host: int) -> dict[str, Any]:
    codes = dict.fromkeys(("scope", "role", "domain_source", "process_source"), 99)
    names = dict.fromkeys(("host", "app", "domain", "site"), "x")
    return {
        **dict.fromkeys(NUMBERS, 1),
        **codes,
        **names,
        "bucket": time,
        "host_id": host,
        "protocol": 6,
        "remote": b"\x0a\x00\x00\x01",
        "retrans": None,
    }


def asked(rows: list[dict[str, Any]]) -> tuple[ScriptedDatabase, Asking]:
    database = ScriptedDatabase(fleet=[make_fleet_row(1, "a")], flows=rows)
    return database, Asking(database.as_database(), lambda: NOW, EVERY_HOST)


async def test_a_page_ends_with_the_place_of_the_next() -> None:
    rows = [row(NOW - 5000, 2), row(NOW - 5000, 1), row(NOW - 5000, 1), row(NOW - 9000, 1)]
    _, asking = asked(rows)
    answer = await flows.fn(asked=asking, limit=3)
    assert [flow.time for flow in answer.flows] == [NOW - 5000] * 3
    assert answer.next == f"{NOW - 5000}.1.2"
    # Codes of a newer version are shown as numbers.
    assert (answer.flows[0].scope, answer.flows[0].protocol, answer.flows[0].remote) == ("99", "tcp", "10.0.0.1")


async def test_a_place_within_one_moment_counts_on() -> None:
    database, asking = asked([row(NOW - 5000, 1)] * 3)
    answer = await flows.fn(asked=asking, limit=2, after=f"{NOW - 5000}.1.7")
    assert answer.next == f"{NOW - 5000}.1.9"
    assert (database.asked["flows"]["skip"], database.asked["flows"]["host_id"]) == (7, 1)
    counted = database.counted["flows"]
    assert counted is not None
    assert counted.end == NOW - 4999


@pytest.mark.parametrize("after", ["", "x", "1.2", "1.2.3", f"{NOW}.1.-1", f"{NOW}.{2**31}.1", f"{'9' * 16}.1.1"])
async def test_a_place_that_is_none_is_refused(after: str) -> None:
    with pytest.raises(ProblemError) as caught:
        await flows.fn(asked=asked([])[1], limit=2, after=after)
    assert caught.value.problem.parameter == "after"
