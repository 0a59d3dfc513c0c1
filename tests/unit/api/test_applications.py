from __future__ import annotations

from netally.api.applications import applications
from netally.api.reading import Asking
from netally.api.visible import EVERY_HOST
from netally.contracts.queries import ApplicationRow
from tests.scripted_database import ScriptedDatabase, make_fleet_row

NOW = 1_000_000_000_000


async def test_rows_become_the_answer_with_its_totals() -> None:
    row = {
        "id": 7,
        "name": "curl",
        "executable": "/usr/bin/curl",
        "username": "ada",
        "bytes_in": 10,
        "bytes_out": 2,
        "connections": 3,
        "hosts": 1,
        "last_used": NOW - 5,
        "all_count": 4,
        "all_bytes_in": 25,
        "all_bytes_out": 8,
    }
    database = ScriptedDatabase(
        fleet=[make_fleet_row(1, "web-1")], applications=[row], app_domains=[{"app_id": 7, "domains": 2}]
    )
    asking = Asking(database.as_database(), lambda: NOW, EVERY_HOST, range_="15m")
    answer = await applications.fn(asked=asking, limit=1, offset=2, sort="bytes_out")
    assert answer.applications == [
        ApplicationRow(
            id=7,
            name="curl",
            executable="/usr/bin/curl",
            user="ada",
            bytes_in=10,
            bytes_out=2,
            connections=3,
            domains=2,
            hosts=1,
            last_used=NOW - 5,
        )
    ]
    assert (answer.others_count, answer.others_bytes_in, answer.total_bytes_out) == (3, 15, 8)
    asked = database.asked["applications"]
    assert (asked["limit"], asked["offset"], asked["sort"]) == (1, 2, "bytes_out")
    counted = database.counted["applications"]
    assert counted is not None
    assert (counted.both_sides, counted.hosts) == (False, None)
    of_page = database.counted["app_domains"]
    assert of_page is not None
    assert (of_page.apps, of_page.totals_suffice, counted.totals_suffice) == ([7], False, True)


async def test_domains_are_counted_only_when_they_are_wanted() -> None:
    row = dict.fromkeys(("bytes_in", "bytes_out", "connections", "hosts", "last_used"), 1)
    totals = {"all_count": 1, "all_bytes_in": 1, "all_bytes_out": 1}
    names = {"id": 7, "name": "curl", "executable": "", "username": ""}
    database = ScriptedDatabase(fleet=[make_fleet_row(1, "web-1")], applications=[row | totals | names])
    answer = await applications.fn(asked=Asking(database.as_database(), lambda: NOW, EVERY_HOST), count_domains=False)
    assert [one.domains for one in answer.applications] == [None]
    assert "app_domains" not in database.asked
