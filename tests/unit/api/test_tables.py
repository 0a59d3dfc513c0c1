from __future__ import annotations

from typing import Any

from netally.api.reading import Asking, read_table
from netally.api.tables import read_domain_groups
from netally.api.visible import EVERY_HOST
from tests.scripted_database import ScriptedDatabase, make_fleet_row

NOW = 1_000_000_000_000
NAMES = {1: "a.example.co.uk", 2: "example.co.uk", 3: "github.io", 4: "me.github.io"}
SUMS = [(1, 5, 0, 1, 10), (2, 50, 0, 1, 20), (3, 7, 0, 1, 5), (4, 9, 0, 1, 5)]


async def test_domains_of_one_owner_are_one_row_and_strangers_are_not() -> None:
    keys = ("id", "bytes_in", "bytes_out", "connections", "last_used")
    part: dict[str, Any] = {"number": 0, "hosts": 2, "sources": [2]}
    part |= {"app_ids": [3], "app_names": ["firefox"], "app_executables": [""], "app_bytes": [55]}
    database = ScriptedDatabase(
        fleet=[make_fleet_row(1, "a")],
        sums_by=[dict(zip(keys, row, strict=True)) for row in SUMS],
        domain_names=[{"id": number, "name": name} for number, name in NAMES.items()],
        domain_groups=[part],
    )
    async with read_table(Asking(database.as_database(), lambda: NOW, EVERY_HOST)) as (reading, span):
        answer = await read_domain_groups(reading, span, 1, 0, "bytes")
    (found,) = answer.domains
    assert (found.name, found.bytes_in, found.hosts, found.last_used, found.sources) == (
        *("example.co.uk", 55, 2, 20, ["tls_sni"]),
    )
    assert ([one.name for one in found.subdomains], found.id) == (["example.co.uk", "a.example.co.uk"], 2)
    assert [(one.name, one.browser) for one in found.applications] == [("firefox", "Firefox")]
    # A public suffix stands for itself, and its users are strangers to each other.
    assert (answer.others_count, answer.others_bytes_in) == (2, 16)
    assert database.asked["domain_groups"] == {"ids": [1, 2], "numbers": [0, 0]}
