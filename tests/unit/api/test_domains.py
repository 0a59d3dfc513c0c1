from __future__ import annotations

from netally.api.domains import domains
from netally.api.reading import Asking
from netally.api.visible import EVERY_HOST
from netally.contracts.codes import DomainSource
from netally.contracts.queries import DomainUser
from tests.scripted_database import ScriptedDatabase, make_fleet_row

NOW = 1_000_000_000_000


async def test_rows_become_the_answer_with_users_and_sources_in_words() -> None:
    row = {
        "id": 3,
        "name": "example.org",
        "bytes_in": 10,
        "bytes_out": 2,
        "connections": 3,
        "last_used": NOW - 5,
        "all_count": 1,
        "all_bytes_in": 10,
        "all_bytes_out": 2,
    }
    part = {
        "number": 0,
        "hosts": 1,
        "app_ids": [7, 0],
        "app_names": ["firefox", ""],
        "app_executables": ["/usr/bin/firefox", ""],
        "app_bytes": [9, 3],
        "sources": [int(DomainSource.TLS_SNI), int(DomainSource.DNS), 99],
    }
    database = ScriptedDatabase(fleet=[make_fleet_row(1, "web-1")], domains=[row], domain_groups=[part])
    answer = await domains.fn(asked=Asking(database.as_database(), lambda: NOW, EVERY_HOST, hosts=["web-1"]))
    (found,) = answer.domains
    assert (found.hosts, database.asked["domain_groups"]) == (1, {"ids": [3], "numbers": [0]})
    assert found.applications == [
        DomainUser(id=7, name="firefox", bytes=9, browser="Firefox"),
        DomainUser(id=0, name="", bytes=3),
    ]
    # A code of a newer version is shown as its number rather than hidden.
    assert found.sources == ["tls_sni", "dns", "99"]
    assert (answer.others_count, answer.total_bytes_in) == (0, 10)
    assert database.counted["domains"] is not None
    assert database.counted["domains"].hosts == [1]
