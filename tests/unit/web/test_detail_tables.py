from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from netally.contracts.queries import (
    ApplicationShare,
    BrowserRow,
    BrowsersAnswer,
    CauseSum,
    ConservationAnswer,
    DomainRow,
    DomainsAnswer,
    HostRow,
    HostsAnswer,
    InterfaceConservation,
    Meta,
    SettingsState,
    SourceShare,
    Subdomain,
)
from netally.web.detail_tables import (
    NAME_EVIDENCE,
    browsers_table,
    counters,
    found_table,
    hosts_with_traffic,
    names_beside,
    setting_rows,
)

BERLIN = ZoneInfo("Europe/Berlin")
NOW = 1_795_305_600_000
META = Meta("1h", NOW - 86_400_000, NOW, 1, 1, [], NOW, 1.0, 3)


def program(number: int, user: str, size: int) -> ApplicationShare:
    return ApplicationShare(number, "firefox", "/usr/lib/firefox", user, size, 0, NOW)


def test_a_browser_with_two_users_has_both_inside() -> None:
    rows = [
        BrowserRow("Firefox", 3000, 0, 0.6, 1, 1, 1, NOW, [program(1, "ada", 2000), program(2, "bob", 1000)]),
        BrowserRow("Chrome", 1000, 0, 0.2, 1, 1, 1, NOW, [program(3, "ada", 1000)]),
    ]
    table = browsers_table(BrowsersAnswer(rows, 1000, 0, 5000, 0, META), BERLIN, NOW)
    assert [(row.name, row.level, row.href) for row in table.rows] == [
        ("Firefox", "", ""),
        ("firefox · ada", "l1", "/applications/1"),
        ("firefox · bob", "l1", "/applications/2"),
        ("Chrome", "", "/applications/3"),
        ("no browser", "", ""),
    ]
    assert [row.share for row in table.rows] == ["60.0", "40.0", "20.0", "20.0", "20.0"]


def host(name: str, size: int) -> HostRow:
    return HostRow(1, name, "agent", "reporting", "packets", "", "1", 5, NOW, NOW, size, 0, 0, 0, 0, [])


def test_hosts_without_traffic_are_left_out() -> None:
    table = hosts_with_traffic(HostsAnswer([host("a", 1), host("b", 5), host("c", 0)], META))
    assert ([row.name for row in table.rows], table.names) == (["b", "a"], 2)


def group(names: list[str]) -> DomainsAnswer:
    parts = [Subdomain(number, name, 10, 0, NOW) for number, name in enumerate(names, 1)]
    row = DomainRow(1, "example.org", [], [], 10 * len(names), 0, 1, 1, NOW, parts, len(names))
    return DomainsAnswer([row], 0, 0, 0, 10 * len(names), 0, META)


def test_the_names_of_an_owner_with_this_page_among_them() -> None:
    table = names_beside(group(["example.org", "api.example.org"]), "example.org", BERLIN, NOW)
    assert table is not None
    assert [(row.name, row.href, row.note) for row in table.rows] == [
        ("example.org", "", "this page"),
        ("api.example.org", "/domains/2", ""),
    ]
    assert names_beside(group(["example.org"]), "example.org", BERLIN, NOW) is None


def test_how_names_were_found_adds_up_and_says_since_when() -> None:
    rows = [SourceShare("tls_sni", 700), SourceShare("dns", 200), SourceShare("none", 100)]
    table = found_table(rows, NOW - 7_200_000, META.start, NAME_EVIDENCE, BERLIN, NOW)
    assert table is not None
    assert [(row.name, row.share, row.x, row.width) for row in table.rows] == [
        ("TLS SNI", "70.0", 0.0, 70.0),
        ("DNS", "20.0", 70.0, 20.0),
        ("no name", "10.0", 90.0, 10.0),
    ]
    assert table.since != ""
    assert found_table(rows, None, 0, NAME_EVIDENCE, BERLIN, NOW) is None
    assert found_table([], 5, 0, NAME_EVIDENCE, BERLIN, NOW) is None


@pytest.mark.parametrize(
    ("state", "follows"),
    [
        (SettingsState(3, 3, None, 5, False, False), [True, True, True]),
        (SettingsState(4, 3, 10, 5, True, False), [False, False, False]),
        (SettingsState(None, 3, None, 5, None, True), [True, True]),
    ],
)
def test_a_host_that_does_not_follow_is_seen(state: SettingsState, follows: list[bool]) -> None:
    rows = setting_rows(state, 5)
    assert [row.follows for row in rows] == follows
    assert rows[0].actual == ("paused" if state.actual_paused else "capturing")


def cause(name: str, size: int) -> CauseSum:
    return CauseSum(name, size, 0, 1, 0)


def test_counters_have_a_column_an_interface_and_leave_loopback_out_of_totals() -> None:
    eth0 = InterfaceConservation("eth0", 1000, 0, [cause("attributed", 900), cause("lost_ring", 100)])
    lo = InterfaceConservation("lo", 5000, 0, [cause("attributed", 5000)])
    causes = [cause("attributed", 900), cause("lost_ring", 100), cause("paused", 0)]
    table = counters(ConservationAnswer("a", [eth0, lo], 1000, 0, causes, META))
    assert table.interfaces == ["lo", "eth0"]
    assert [(row.name, row.cells, row.total_in, row.share, row.lost) for row in table.rows] == [
        ("attributed", ["5.0", "0.9"], "0.9", "90.0", False),
        ("lost ring", ["0.0", "0.1"], "0.1", "10.0", True),
    ]
    assert (table.sums, table.total_in, table.unit.symbol) == (["5.0", "1.0"], "1.0", "kB")
