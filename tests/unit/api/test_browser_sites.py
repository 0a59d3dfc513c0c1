"""Totals of browsers and shares of sites; what is read is tested on a real database."""

from __future__ import annotations

from typing import Any

from netally.api.browser_sites import _joins, _shares


def test_bytes_without_a_site_are_told_apart() -> None:
    sums = {(1, "Firefox", 0): [0, 70, 7], (1, "Firefox", 5): [60, 30, 3], (2, "Zen", 5): [9, 0, 0]}
    first, second = _joins(sums, {1: "desk", 2: "lap"})
    assert (first.host, first.browser, first.seconds) == ("desk", "Firefox", 60)
    assert (first.joined_bytes_in, first.joined_bytes_out) == (30, 3)
    assert (first.unjoined_bytes_in, first.unjoined_bytes_out) == (70, 7)
    assert (second.host, second.seconds, second.joined_bytes_in) == ("lap", 9, 0)


def test_third_parties_are_of_another_owner() -> None:
    rows: list[Any] = [
        {"domain_id": 1, "bytes_in": 5, "bytes_out": 1},
        {"domain_id": 2, "bytes_in": 50, "bytes_out": 1},
        {"domain_id": 0, "bytes_in": 9, "bytes_out": 9},
    ]
    shares = _shares(rows, "domain_id", {1: "static.news.example", 2: "cdn.net"}, "www.news.example")
    assert [(one.name, one.third_party) for one in shares] == [("cdn.net", True), ("static.news.example", False)]
