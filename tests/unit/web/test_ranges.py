from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.web import ranges
from netally.web.ranges import DAY, HOUR, MINUTE, Range, RangeError, read_range

BERLIN = ZoneInfo("Europe/Berlin")
NOW = 1_795_093_200_000
"""2026-11-19T14:20 in Berlin."""


def test_the_default_is_the_last_hour_and_presets_move_with_the_clock() -> None:
    assert read_range({}, BERLIN, NOW) == Range(NOW - HOUR, NOW, "1h")
    assert read_range({"range": "7d"}, BERLIN, NOW) == Range(NOW - 7 * DAY, NOW, "7d")


def test_a_shared_link_means_the_same_for_a_reader_in_another_zone() -> None:
    link = {"from": "2026-11-18T14:15", "to": "2026-11-19T14:15", "tz": "Europe/Berlin"}
    here, there = read_range(link, BERLIN, NOW), read_range(link, ZoneInfo("Asia/Tokyo"), NOW)
    assert here == there
    assert here.length == DAY
    assert read_range({"from": "2026-11-18T13:15Z", "to": "2026-11-19T14:15 01:00"}, BERLIN, NOW) == here


@given(st.integers(0, NOW // 1000 - 7200), st.integers(60, 86400 * 400))
def test_a_range_survives_its_own_url(start: int, length: int) -> None:
    end = min(start + length, NOW // 1000)
    shown = Range(start * 1000, end * 1000, None)
    pairs = dict(pair.split("=") for pair in ranges.query_of(shown).split("&"))
    assert read_range(pairs, BERLIN, NOW) == shown


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"range": "2h"}, "no range called “2h”"),
        ({"from": "2026-11-18T14:15"}, "both a start and an end"),
        ({"from": "yesterday", "to": "now"}, "“yesterday” is no time"),
        ({"from": "2026-11-19T14:15", "to": "2026-11-18T14:15"}, "at least a minute after"),
        ({"from": "2030-01-01T00:00", "to": "2030-01-02T00:00"}, "in the future"),
        ({"from": "1990-01-01T00:00", "to": "2026-01-02T00:00"}, "ten years"),
        ({"from": "0001-01-01T00:00", "to": "2026-01-02T00:00"}, "“0001-01-01T00:00”"),
        ({"from": "2026-11-18T14:15", "to": "2026-11-19T14:15", "tz": "../etc/passwd"}, "no time zone called"),
    ],
)
def test_a_wrong_range_says_what_is_wrong(query: dict[str, str], words: str) -> None:
    with pytest.raises(RangeError, match=words):
        read_range(query, BERLIN, NOW)


@given(st.dictionaries(st.sampled_from(["range", "from", "to", "tz"]), st.text(max_size=60)))
def test_nothing_in_a_url_breaks_it(query: dict[str, str]) -> None:
    try:
        shown = read_range(query, BERLIN, NOW)
    except RangeError:
        return
    assert shown.end - shown.start >= MINUTE


def test_moving_and_zooming_out() -> None:
    shown = Range(NOW - 2 * HOUR, NOW - HOUR, None)
    assert ranges.moved(shown, -1) == Range(NOW - 150 * MINUTE, NOW - 90 * MINUTE, None)
    assert ranges.widened(Range(NOW - HOUR, NOW, "1h"), NOW) == Range(NOW - DAY, NOW, "24h")
    assert ranges.widened(shown, NOW) == Range(NOW - 150 * MINUTE, NOW - 30 * MINUTE, None)
    # Never past now.
    assert ranges.widened(Range(NOW - 10 * DAY, NOW - 10 * MINUTE, None), NOW).end == NOW


def test_only_ranges_that_move_are_read_again() -> None:
    assert ranges.refresh_seconds(Range(NOW - HOUR, NOW, None)) is None
    assert ranges.refresh_seconds(Range(NOW - HOUR, NOW, "1h")) == 10
    assert ranges.refresh_seconds(Range(NOW - 365 * DAY, NOW, "1y")) == 120


def test_the_servers_zone_is_the_configured_one_else_this_machines_else_utc(tmp_path: Path) -> None:
    localtime = tmp_path / "localtime"
    localtime.symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    assert ranges.server_zone("Europe/Berlin", localtime).key == "Europe/Berlin"
    assert ranges.server_zone("", localtime).key == "Asia/Tokyo"
    assert ranges.server_zone("Nowhere/Land", tmp_path / "none").key == "UTC"
