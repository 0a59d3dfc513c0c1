"""Conditions, refusals, patterns. That conditions mean what they say is tested on real databases."""

from __future__ import annotations

from typing import Any

import pytest

from netally.store.filters.compile import (
    Condition,
    Lookup,
    answering_tiers,
    compile_filter,
    like_pattern,
    needs_raw,
    resolve,
)
from netally.store.filters.errors import FilterRefused
from netally.store.filters.fields import FilterTier
from netally.store.filters.syntax import parse

RAW, MINUTE, HOUR, DAY, TRAFFIC_HOUR, TRAFFIC_DAY = FilterTier


def condition(text: str, tier: FilterTier = RAW, **options: Any) -> Condition:
    return compile_filter(parse(text), tier, **options)


def test_parameters_are_numbered_from_where_the_caller_is() -> None:
    made = condition("scope = internet and not (port = 443 or bytes > 1kB)", HOUR, first_parameter=4, alias="f")
    assert made.sql == (
        "(f.scope = ANY ($4::smallint[]) AND NOT (((f.port_class = ANY ($5::integer[]))"
        " OR (f.bytes_in + f.bytes_out) > $6::bigint)))"
    )
    assert made.parameters == ([1], [443], 1000)


def test_an_empty_filter_is_true() -> None:
    assert condition("") == Condition("true", (), "")


def test_an_alias_is_a_name_and_nothing_else() -> None:
    with pytest.raises(ValueError, match="no alias"):
        condition("port = 1", alias="f; DROP TABLE flow")


def test_names_are_looked_up_and_never_in_the_text() -> None:
    made = condition("app in curl, none and domain under example.org")
    assert made.sql == "(app_id = ANY ($1::integer[]) AND domain_id = ANY ($2::integer[]))"
    first, second = made.parameters
    assert isinstance(first, Lookup)
    assert isinstance(second, Lookup)
    assert first.parameters == (["curl", ""],)
    assert second.parameters == (["example.org"], ["%.example.org"])


async def test_lookups_are_replaced_by_the_ids_they_find() -> None:
    class Names:
        async def fetch(self, query: str, *args: Any) -> list[Any]:
            assert "FROM host" in query
            assert args == (["web-1"],)
            return [{"id": 7}, {"id": 9}]

    assert await resolve(Names(), condition("host = WEB-1 and port = 3")) == [[7, 9], [3]]


def test_an_amount_says_what_a_row_is() -> None:
    assert condition("app = a", HOUR).row == ""
    assert condition("app = a or bytes > 1", RAW).row.endswith("in one interval")
    assert condition("app = a or packets > 1", DAY).row.endswith("in one day")


@pytest.mark.parametrize(
    ("text", "tiers"),
    [
        ("", set(FilterTier)),
        ("host = a and app = b and user = c and browser = none and scope = peer and role = client", set(FilterTier)),
        ("domain = a", {RAW, MINUTE, HOUR, DAY}),
        ("bytes > 1", {RAW, MINUTE, HOUR, DAY}),
        ("protocol = tcp", {RAW, MINUTE, HOUR, DAY}),
        ("remote = 192.0.2.7", {RAW}),
        ("app = a or domain_source = none", {RAW}),
        ("process_source = ebpf", {RAW}),
        ("port = 443", {RAW, MINUTE, HOUR, DAY}),
        ("port != 443", {RAW, MINUTE, HOUR, DAY}),
        ("port in 1-1023", {RAW, MINUTE, HOUR, DAY}),
        ("port not in 1-1023, 8080", {RAW, MINUTE, HOUR, DAY}),
        ("port >= 0", {RAW, MINUTE, HOUR, DAY}),
        ("port < 0", {RAW, MINUTE, HOUR, DAY}),
        ("port <= 65535", {RAW, MINUTE, HOUR, DAY}),
        ("port > 65535", {RAW, MINUTE, HOUR, DAY}),
        ("port <= 0", {RAW}),
        ("port >= 1", {RAW}),
        ("port = 48000", {RAW}),
        ("port != 48000", {RAW}),
        ("port = 0", {RAW}),
        ("port < 1024", {RAW}),
        ("port > 1023", {RAW}),
        ("port in 443, 8000-8100", {RAW}),
    ],
)
def test_which_tiers_can_answer(text: str, tiers: set[FilterTier]) -> None:
    assert answering_tiers(parse(text)) == tiers
    assert needs_raw(parse(text)) is (tiers == {RAW})


@pytest.mark.parametrize(
    ("text", "tier", "column", "able", "words"),
    [
        ("app = a and remote = 192.0.2.7", DAY, 13, "raw", "remote is not kept in the figures by day at column 13"),
        ("port = 48000", HOUR, 1, "raw", "port 48000 has no figure of its own in the figures by hour"),
        ("port < 1024", HOUR, 1, "raw", "write port in 1-1023"),
        ("domain = a", TRAFFIC_DAY, 1, "1d", "only the figures by day have it"),
        ("bytes > 1", TRAFFIC_HOUR, 1, "1h", "only the figures by hour have it"),
        ("remote = ::1", TRAFFIC_HOUR, 1, "raw", "only raw flows have it"),
    ],
)
def test_a_refusal_says_where_why_and_what_could(
    text: str, tier: FilterTier, column: int, able: str, words: str
) -> None:
    with pytest.raises(FilterRefused) as caught:
        condition(text, tier)
    assert words in str(caught.value)
    assert caught.value.column == column
    assert caught.value.tier == able


@pytest.mark.parametrize(
    ("glob", "like"),
    [
        *(("fire*", "fire%"), ("?x", "_x"), ("100%", r"100\%"), ("a_b", r"a\_b"), (r"a\*b", "a*b"), (r"a\?", "a?")),
        *((r"a\\b", r"a\\b"), ("a\nb*", "a\nb%"), ("*", "%")),
    ],
)
def test_patterns_for_like(glob: str, like: str) -> None:
    assert like_pattern(glob) == like
