from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.web import figures
from netally.web.figures import NBSP, THIN, amount_unit, in_unit, rate_unit

BERLIN = ZoneInfo("Europe/Berlin")
NOW = round(dt.datetime(2026, 11, 19, 14, 15, tzinfo=BERLIN).timestamp() * 1000)


def at(year: int, month: int, day: int, hour: int, minute: int) -> int:
    return round(dt.datetime(year, month, day, hour, minute, tzinfo=BERLIN).timestamp() * 1000)


def plain(text: str) -> str:
    return text.replace(NBSP, " ")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_940, "999.9 kB"),
        (999_960, "1.0 MB"),
        (588_540_000_000, "588.5 GB"),
        (1.2e19, "12~000.0 PB"),
    ],
)
def test_amounts_have_one_decimal_and_never_a_thousand_of_a_unit(value: float | None, words: str) -> None:
    assert figures.amount(value) == words.replace(" ", NBSP).replace("~", THIN)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (0, "0 bit/s"),
        (124.9, "999 bit/s"),
        (125, "1.0 kbit/s"),
        (11_250_000, "90.0 Mbit/s"),
        (20_625_000, "165 Mbit/s"),
        (124_999_000, "1.0 Gbit/s"),
    ],
)
def test_rates_are_written_in_bits(value: float | None, words: str) -> None:
    assert figures.rate(value) == words.replace(" ", NBSP)


def test_a_column_has_the_unit_of_its_largest_value() -> None:
    unit = figures.amount_unit([12, None, 5.8e9, 0])
    assert unit.symbol == "GB"
    written = [figures.in_unit(value, unit) for value in (5.8e9, 1.4e8, 4e7, 0, None)]
    assert written == ["5.8", "0.1", "<0.1", "0.0", "–"]
    assert figures.amount_unit([]).symbol == "B"


@given(st.lists(st.floats(0, 9e17), min_size=1, max_size=30))
def test_no_value_of_a_column_needs_more_than_three_digits_before_the_point(values: list[float]) -> None:
    unit = figures.amount_unit(values)
    for value in values:
        written = figures.in_unit(value, unit).replace(THIN, "").lstrip("<")
        assert float(written) < 1000
        if value >= unit.size / 10:
            # "<1" is written for a quarter of a byte.
            assert float(written) == pytest.approx(value / unit.size, abs=0.051 if unit.decimals else 1)


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=200))
def test_shares_add_up_to_a_hundred(values: list[int]) -> None:
    shares = figures.shares(values)
    if not sum(values):
        assert set(shares) == {"–"}
        return
    tenths = [0 if share == "<0.1" else round(float(share) * 10) for share in shares]
    assert sum(tenths) == 1000
    total = sum(values)
    for value, tenth, share in zip(values, tenths, shares, strict=True):
        assert abs(tenth - value / total * 1000) < 1
        assert (share == "<0.1") == (value > 0 and tenth == 0)


@pytest.mark.parametrize(
    ("share", "words"),
    [(None, "–"), (0.0, "0.0 %"), (0.955, "95.5 %"), (0.9999, "99.9 %"), (1.0, "100 %"), (0.0004, "<0.1 %")],
)
def test_a_share_is_never_rounded_up(share: float | None, words: str) -> None:
    assert figures.percent(share) == words.replace(" ", NBSP)


def test_totals_are_lower_bounds_below_99_percent() -> None:
    assert figures.bound(0.9899) == f"≥{NBSP}"
    assert figures.bound(0.99) == ""
    assert figures.bound(None) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (128, "2 min 08 s"),
        (11_100, "3 h 05 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert figures.duration(seconds) == words.replace(" ", NBSP)


def test_numbers_have_thin_spaces_and_a_true_minus() -> None:
    assert figures.count(2328) == f"2{THIN}328"
    assert figures.group(-1012.64, 1) == f"−1{THIN}012.6"


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (at(2026, 11, 19, 14, 5), "14:05"),
        (at(2026, 11, 18, 17, 12), "Wed 17:12"),
        (at(2026, 11, 13, 0, 0), "Fri 00:00"),
        (at(2026, 11, 12, 23, 59), "12 Nov 2026"),
        (at(2026, 11, 20, 0, 1), "20 Nov 2026"),
        (None, "–"),
    ],
)
def test_moments(ms: int | None, words: str) -> None:
    assert figures.moment(ms, BERLIN, NOW) == words.replace(" ", NBSP)


def test_spans_name_the_day_unless_it_is_today() -> None:
    assert plain(figures.span(at(2026, 11, 19, 13, 15), NOW, BERLIN, NOW)) == "13:15–14:15"
    assert plain(figures.span(at(2026, 11, 18, 14, 15), NOW, BERLIN, NOW)) == "18 Nov 14:15 – 19 Nov 14:15"
    assert plain(figures.span(at(2025, 11, 19, 0, 0), NOW, BERLIN, NOW)) == "19 Nov 2025 00:00 – 19 Nov 14:15"


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("Europe/Berlin", "Europe/Berlin (UTC+1)"),
        ("America/St_Johns", "America/St_Johns (UTC−3:30)"),
        ("Asia/Kolkata", "Asia/Kolkata (UTC+5:30)"),
        ("UTC", "UTC"),
        ("Europe/London", "Europe/London (UTC)"),
    ],
)
def test_the_zone_is_named_with_its_offset(zone: str, words: str) -> None:
    assert figures.zone_words(ZoneInfo(zone), NOW) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "5-second means"),
        (90, "90-second means"),
        (900, "15-minute means"),
        (3600, "1-hour means"),
        (86400, "1-day means"),
    ],
)
def test_buckets_in_words(seconds: int, words: str) -> None:
    assert figures.bucket_words(seconds) == words


@pytest.mark.parametrize(
    ("now", "before", "words"),
    [(112, 100, "+12 %"), (50, 100, "−50 %"), (100, 100, "±0 %"), (5, 0, "new"), (0, 0, "±0 %"), (1e15, 1, None)],
)
def test_a_change_is_a_whole_percentage(now: float, before: float, words: str | None) -> None:
    found = plain(figures.change(now, before))
    assert found.startswith("+") if words is None else found == words


def test_whole_percents() -> None:
    assert [figures.whole_percent(share) for share in (0.001, 0.184, 1.0, 0)] == [
        "<1\u00a0%", "18\u00a0%", "100\u00a0%", "0\u00a0%"
    ]  # fmt: skip


def test_a_column_with_a_long_tail_keeps_what_is_small_readable() -> None:
    values = [1_512_400 / 8, 300 / 8, 29_300 / 8]
    assert rate_unit(values).symbol == "Mbit/s"
    unit = rate_unit(values, long_tail=True)
    assert [plain(in_unit(value, unit)) for value in values] == [f"1{THIN}512.4", "0.3", "29.3"]
    assert amount_unit([15e9], long_tail=True).symbol == "GB"
    assert amount_unit([9e9], long_tail=True).symbol == "MB"
