from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from netally.web import figures
from netally.web.appearance import LOCALES, choices, locale_of, style_of
from netally.web.figures import NBSP, STYLE, Style

BERLIN = ZoneInfo("Europe/Berlin")
NOW = round(dt.datetime(2026, 11, 22, 15, 5, tzinfo=BERLIN).timestamp() * 1000)
LAST_WEEK = NOW - 8 * 86_400_000


@pytest.fixture(params=LOCALES)
def locale(request: pytest.FixtureRequest) -> Iterator[str]:
    name = str(request.param)
    token = STYLE.set(LOCALES[name].style)
    yield name
    STYLE.reset(token)


def test_each_locale_writes_what_its_example_says(locale: str) -> None:
    number, date, clock = LOCALES[locale].words.split(" · ")
    assert figures.group(1234.5, 1) == number
    example = dt.datetime(2026, 11, 19, 14, 5, tzinfo=BERLIN)
    assert figures.day(example, year=True).replace(NBSP, " ") == date
    assert figures.clock(example).replace(NBSP, " ") == clock


def test_every_figure_follows(locale: str) -> None:
    point = LOCALES[locale].style.point
    assert figures.amount(1_500_000) == f"1{point}5{NBSP}MB"
    assert figures.in_unit(1, figures.amount_unit([1e9])) == f"<0{point}1"
    assert figures.percent(0.955) == f"95{point}5{NBSP}%"
    assert figures.shares([1, 2000]) == [f"<0{point}1", f"100{point}0"]
    written = figures.moment(LAST_WEEK, BERLIN, NOW) + figures.span(LAST_WEEK, NOW, BERLIN, NOW)
    assert ("PM" in written) == (locale == "us")
    assert ("2026-11-14" in written) == (locale == "iso")


def test_rates_are_bits_unless_bytes_are_chosen() -> None:
    assert figures.rate(1e6) == f"8.0{NBSP}Mbit/s"
    assert figures.other_rate(1e6) == f"1.0{NBSP}MB/s"
    token = STYLE.set(Style(rates_in_bytes=True))
    try:
        assert figures.rate(1e6) == f"1.0{NBSP}MB/s"
        assert figures.rate_unit([1e6]).symbol == "MB/s"
        assert figures.other_rate(1e6) == f"8.0{NBSP}Mbit/s"
    finally:
        STYLE.reset(token)


@pytest.mark.parametrize(
    ("languages", "locale"),
    [
        ("", "international"),
        ("*", "international"),
        ("en", "international"),
        ("en-US,en;q=0.9", "us"),
        ("en-GB", "uk"),
        ("de-DE,de;q=0.9,en;q=0.8", "continental"),
        ("de-CH", "international"),
        ("fr", "french"),
        ("sv-SE", "iso"),
    ],
)
def test_a_browsers_language_has_its_locale(languages: str, locale: str) -> None:
    assert locale_of(languages) == locale


def test_what_was_chosen_comes_before_the_language() -> None:
    chosen = style_of({"locale": "us", "units": "bytes"}, "de-DE")
    assert (chosen.thousands, chosen.rates_in_bytes) == (",", True)
    assert style_of({"locale": "no such", "units": "x"}, "de").point == ","


def test_only_what_can_be_chosen_is_kept() -> None:
    assert choices({"theme": "dark", "units": "bytes", "locale": "us", "zone": "Asia/Tokyo"}) == {
        "theme": "dark",
        "units": "bytes",
        "locale": "us",
        "zone": "Asia/Tokyo",
    }
    assert choices({"locale": "automatic", "zone": "automatic"}) == {"locale": "", "zone": ""}
    assert choices({"theme": "x", "units": "x", "locale": "x", "zone": "../../etc/passwd"}) == {}
