from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from netally.contracts.queries import (
    ApplicationRow,
    ApplicationsAnswer,
    DomainRow,
    DomainsAnswer,
    DomainUser,
    HostBandwidth,
    HostRow,
    Meta,
    RefusedSum,
)
from netally.web.tables import applications_table, coverage, domains_table, host_list, lost_words, quoted, users_words

UTC = ZoneInfo("UTC")
NOW = 1_795_305_600_000
META = Meta("1m", NOW - 3_600_000, NOW, 4, 4, [], NOW - 8000, 0.955, 38)


def application(number: int, name: str, bytes_in: int, bytes_out: int = 0) -> ApplicationRow:
    return ApplicationRow(number, name, f"/usr/bin/{name}", "ada", bytes_in, bytes_out, 3, 2, 1, NOW)


def applications(*rows: ApplicationRow, others: tuple[int, int, int] = (0, 0, 0)) -> ApplicationsAnswer:
    return ApplicationsAnswer(
        list(rows), *others, others[1] + sum(row.bytes_in for row in rows),
        others[2] + sum(row.bytes_out for row in rows), META,
    )  # fmt: skip


def make_host(name: str, **changes: Any) -> HostRow:
    row = HostRow(1, name, "agent", "reporting", "packets", "", "0.1.0", 5, NOW, NOW, 10, 20, 0, 0, 0, ["eth0"])
    return msgspec.structs.replace(row, **changes)


def test_the_rows_make_the_total_and_the_shares_a_hundred() -> None:
    answer = applications(
        application(1, "restic", 600_000, 400_000), application(0, "", 90_000), application(2, "git", 50_000),
        application(3, "apt", 7_000), others=(5, 3_000, 1_000),
    )  # fmt: skip
    table = applications_table(answer, UTC, NOW, shown=slice(2))
    assert [(row.name, row.bytes_in, row.bytes_out, row.share, row.rest) for row in table.rows] == [
        ("restic", "600.0", "400.0", "86.9", False),
        ("git", "50.0", "0.0", "4.3", False),
        ("6 others", "10.0", "1.0", "1.0", True),
        ("no process", "90.0", "0.0", "7.8", True),
    ]
    assert (table.unit.symbol, table.total_in, table.total_out, table.names) == ("kB", "750.0", "401.0", 8)


def test_the_second_page_has_the_first_among_its_others() -> None:
    answer = applications(*[application(index + 1, f"p{index}", 1000) for index in range(5)])
    table = applications_table(answer, UTC, NOW, shown=slice(2, 4))
    assert [(row.name, row.bytes_in) for row in table.rows] == [("p2", "1.0"), ("p3", "1.0"), ("3 others", "3.0")]


def test_bars_are_scaled_to_the_largest_named_row_and_aggregates_have_none() -> None:
    answer = applications(application(1, "a", 300, 100), application(2, "b", 0, 200), application(0, "", 9000))
    bars = [(row.bar_in, row.bar_out) for row in applications_table(answer, UTC, NOW, shown=slice(10)).rows]
    assert bars == [(75.0, 25.0), (0.0, 50.0), (0.0, 0.0)]


def test_nothing_is_an_empty_table() -> None:
    table = applications_table(applications(), UTC, NOW, shown=slice(10))
    assert (table.rows, table.names, table.total_in) == ([], 0, "0")


def test_domains_name_who_used_them() -> None:
    users = [DomainUser(1, "firefox", 9), DomainUser(2, "curl", 5), DomainUser(0, "", 2)]
    row = DomainRow(1, "github.com", ["tls_sni", "dns"], users, 10, 6, 1, 1, NOW)
    (shown,) = domains_table(DomainsAnswer([row], 0, 0, 0, 10, 6, META), UTC, NOW, shown=slice(10)).rows
    assert shown.related == "firefox, curl +\u00a01"
    assert shown.tags == ["TLS", "DNS"]
    assert users_words([DomainUser(0, "", 2)]) == "no process"
    # Two users' firefox are one word.
    assert users_words([DomainUser(1, "firefox", 2), DomainUser(2, "firefox", 1)]) == "firefox"


def test_hosts_come_worst_first_and_say_why_they_do_not_move() -> None:
    hosts = [
        make_host("b"),
        make_host("a"),
        make_host("quiet", state="silent", reported_at=NOW - 3_600_000),
        make_host("new", state="never", reported_at=None, complete_until=None),
        make_host("held", state="paused", lost_batches=2, ring_drops=1),
    ]
    live = [HostBandwidth("a", 1e6, 5e5, NOW), HostBandwidth("b", None, None, None)]
    made = host_list(hosts, live, UTC, NOW)
    assert [(cell.name, cell.state, cell.line) for cell in made.cells] == [
        ("quiet", "silent", "silent since Sat\u00a023:00"),
        ("new", "silent", "has never reported"),
        ("held", "paused", "paused"),
        ("a", "", "8.0 in · 4.0 out"),
        ("b", "", "no live figures"),
    ]
    assert made.cells[2].lost == "2 batches lost, 1 packet dropped"
    assert made.states == [
        ("", "2 reporting"),
        ("paused", "1 paused"),
        ("silent", "1 never reported"),
        ("silent", "1 silent"),
    ]


def test_a_host_that_is_refused_or_has_a_wrong_clock_says_so() -> None:
    refused = [RefusedSum("future", 7, 1), RefusedSum("invalid", 1, 1), RefusedSum("too_old", 2, 1)]
    assert (
        lost_words(make_host("a", refused=refused, clock_offset_ms=-90_000))
        == "3 rows refused, clock 1\u00a0min\u00a030\u00a0s behind"
    )
    assert lost_words(make_host("a", clock_offset_ms=7_000)) == "clock 7\u00a0s ahead"
    assert lost_words(make_host("a", clock_offset_ms=4_900)) == ""


def test_coverage_marks_lower_bounds_missing_hosts_and_old_figures() -> None:
    fresh = coverage(META, UTC, NOW, moving=True)
    assert (fresh.tier, fresh.reporting, fresh.measured, fresh.bound, fresh.stale) == (
        "1 min", "4 of 4 hosts", "95.5\u00a0%", "≥\u00a0", "",
    )  # fmt: skip
    old = msgspec.structs.replace(META, complete_until=NOW - 900_000, hosts_missing=["lap-03"])
    assert coverage(old, UTC, NOW, moving=True).stale == "Figures of Sat\u00a023:45:00, 15\u00a0min\u00a000\u00a0s old."
    assert coverage(old, UTC, NOW, moving=True).missing == ["lap-03"]
    assert coverage(old, UTC, NOW, moving=False).stale == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("curl", "curl"), ("api.github.com", "api.github.com"), ("Google Chrome", '"Google Chrome"'), ("", '""'),
        ('say "hi"', '"say \\"hi\\""'), ("a\\b", '"a\\\\b"'), ("And", '"And"'), ("*.x", '"*.x"'),
    ],
)  # fmt: skip
def test_names_as_values_of_the_filter_language(name: str, value: str) -> None:
    assert quoted(name) == value
