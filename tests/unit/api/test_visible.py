from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import netally.api
from netally.api import historical
from netally.api.problems import ProblemError
from netally.api.reading import Asking, open_reading
from netally.api.visible import EVERY_HOST, VisibleHosts
from netally.store import sql
from tests.scripted_database import ScriptedDatabase, make_fleet_row

TELL_OF_NO_HOST = {
    *("about", "tiers_about", "tiers_held"),
    # For admins, whose tokens are for all hosts; and to find out who asks.
    *("tokens", "usable_tokens", "sessions_used"),
    # A token for some hosts has its own alone.
    "saved_views",
    # Names of ids that a statement with hosts gave, or that `Reading.named` then looks up on the visible hosts.
    *("app", "apps", "domain", "domain_names", "host_names", "host"),
}
TAKE_HOSTS = {
    "fleet": "visible",
    "paired_browsers": "visible",
    # Of a host that is among the rows of statement fleet.
    "agent": "id",
    "tally_by_cause": "host_id",
}


def statements_asked() -> set[str]:
    """Every statement that a module of the service runs in a snapshot, but for those of the command ledger."""
    found = set()
    for path in Path(netally.api.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("rows", "named"):
                first = node.args[0]
                found.add(first.value if isinstance(first, ast.Constant) else "")
    return {str(name) for name in found if name in sql.statements() and "command" not in str(name)} | set(
        historical._NAMES.values()
    )


def test_every_statement_is_given_the_hosts_that_it_may_tell_of() -> None:
    asked = statements_asked()
    assert {"applications", "domains", "timeline", "flows", "fleet", "tally_by_cause"} <= asked
    for name in asked - TELL_OF_NO_HOST:
        statement = sql.statements()[name]
        # Into counted rows `Reading.counted` puts the hosts.
        counted = re.search(r"\bFROM counted\b", statement.text)
        assert counted or TAKE_HOSTS.get(name, "hosts") in statement.parameters, f"{name} takes no hosts"


def test_who_sees_what() -> None:
    some = VisibleHosts(frozenset(["a", "b"]))
    assert (some.sees("a"), some.sees("c"), EVERY_HOST.sees("c")) == (True, False, True)
    assert (some.of(["c", "b"]), VisibleHosts(frozenset()).sees("a")) == (["b"], False)


@pytest.mark.parametrize(
    ("asked", "host_ids", "both_sides"),
    [(None, [1, 3], True), (["capture"], [3], True), (["web-1", "capture"], [1, 3], False)],
)
async def test_a_reading_is_about_visible_hosts(asked: list[str] | None, host_ids: list[int], both_sides: bool) -> None:
    # What the database gives for the names; it is asked for no others.
    seen = [make_fleet_row(1, "web-1"), make_fleet_row(3, "capture", kind="replay")]
    database = ScriptedDatabase(fleet=seen)
    visible = VisibleHosts(frozenset(["web-1", "capture"]))
    async with open_reading(Asking(database.as_database(), lambda: 10**12, visible, hosts=asked)) as reading:
        span = reading.span(10**12 - 1000, 10**12)
        counted = reading.counted(span)
        meta = await reading.meta(span)
    assert database.asked["fleet"] == {"visible": ["capture", "web-1"]}
    assert (counted.hosts, counted.both_sides) == (host_ids, both_sides)
    assert "web-2" not in meta.hosts_missing
    assert database.asked["coverage_by_host"]["hosts"] == [host.id for host in reading.fleet.hosts]


async def test_a_host_that_is_not_visible_does_not_exist() -> None:
    database = ScriptedDatabase(fleet=[make_fleet_row(1, "web-1")])
    visible = VisibleHosts(frozenset(["web-1"]))
    with pytest.raises(ProblemError) as caught:
        async with open_reading(Asking(database.as_database(), lambda: 10**12, visible, hosts=["web-2"])):
            pass
    assert (caught.value.problem.status, caught.value.problem.detail) == (400, "There is no host 'web-2'.")


async def test_an_application_of_other_hosts_does_not_exist() -> None:
    row = {"id": 7, "name": "secret", "first_seen": 5}
    visible = VisibleHosts(frozenset(["web-1"]))
    fleet = [make_fleet_row(1, "web-1")]
    unused = ScriptedDatabase(fleet=fleet, app=[row], first_use=[])
    async with open_reading(Asking(unused.as_database(), lambda: 10**12, visible)) as reading:
        with pytest.raises(ProblemError) as caught:
            await reading.named("app", 7, "application")
    assert caught.value.problem.status == 404
    assert unused.counted["first_use"] is not None
    assert (unused.counted["first_use"].hosts, unused.counted["first_use"].apps) == ([1], [7])
    used = ScriptedDatabase(fleet=fleet, app=[row], first_use=[{"first_use": 9}])
    async with open_reading(Asking(used.as_database(), lambda: 10**12, visible)) as reading:
        assert await reading.named("app", 7, "application") == {**row, "first_seen": 9}
