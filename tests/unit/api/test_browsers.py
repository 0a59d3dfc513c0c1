from __future__ import annotations

from netally.api.browsers import browsers
from netally.api.reading import Asking
from netally.api.visible import EVERY_HOST
from tests.scripted_database import ScriptedDatabase, make_fleet_row

NOW = 1_000_000_000_000


async def test_the_programs_of_a_browser_are_one_row_and_the_rest_is_others() -> None:
    keys = ("id", "bytes_in", "bytes_out", "connections", "last_used")
    sums = [(1, 50, 10, 2, 5), (2, 20, 0, 1, 9), (3, 100, 20, 4, 7), (0, 0, 0, 0, 1)]
    apps = [(1, "firefox", ""), (2, "Socket Process", "/usr/lib/firefox/firefox"), (3, "curl", ""), (0, "", "")]
    database = ScriptedDatabase(
        fleet=[make_fleet_row(1, "a")],
        sums_by=[dict(zip(keys, row, strict=True)) for row in sums],
        apps=[{"id": number, "name": name, "executable": path, "username": ""} for number, name, path in apps],
        app_groups=[{"number": 0, "hosts": 2, "domains": 3}],
    )
    answer = await browsers.fn(asked=Asking(database.as_database(), lambda: NOW, EVERY_HOST))
    (found,) = answer.browsers
    assert (found.name, found.bytes_in, found.connections, found.hosts, found.domains) == ("Firefox", 70, 3, 2, 3)
    assert (found.share, found.last_used, [one.id for one in found.applications]) == (0.4, 9, [1, 2])
    assert (answer.others_bytes_in, answer.others_bytes_out, answer.total_bytes_in) == (100, 20, 170)
    assert database.asked["app_groups"] == {"ids": [1, 2], "numbers": [0, 0]}
