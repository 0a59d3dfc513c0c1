"""What is offered at the cursor, marked by | in the texts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.store.filters.completion import Completion, complete
from netally.store.filters.errors import FilterError
from netally.store.filters.fields import Field
from netally.store.filters.syntax import parse

STORED = {
    "app": ["firefox", "firewalld", "Google Chrome", "curl"],
    "host": ["web-1", "web-2"],
    "domain": ["netflix.com", "github.com"],
}


async def values(field: Field, prefix: str, limit: int) -> Mapping[str, int | None]:
    found = [name for name in STORED.get(field.name, []) if name.lower().startswith(prefix.lower())]
    return dict.fromkeys(found[:limit])


async def offered(marked: str) -> list[Completion]:
    return await complete(marked.replace("|", ""), marked.index("|"), values)


async def labels(marked: str) -> list[str]:
    return [one.label for one in await offered(marked)]


@pytest.mark.parametrize(
    ("marked", "first"),
    [
        ("|", ["host", "app", "executable"]),
        ("do|", ["domain", "domain_source"]),
        ("app = a and po|", ["port"]),
        ("(|", ["host", "app"]),
        ("not |", ["host", "app"]),
        ("app |", ["=", "!=", "in", "not in", "~", "!~"]),
        ("app !|", ["!=", "!~"]),
        ("app n|", ["not in", "in"]),
        ("app not |", ["not in"]),
        ("domain u|", ["under", "not under"]),
        ("bytes |", ["=", "!=", "<", "<=", ">", ">="]),
        ("app = |", ["firefox", "firewalld", "Google Chrome", "curl", "none"]),
        ("app =|", ["firefox", "firewalld", "Google Chrome", "curl", "none"]),
        ("app = fire|", ["firefox", "firewalld"]),
        ("app = no|", ["none"]),
        ("app ~ fire|", ["fire*", "firefox", "firewalld"]),
        ("app in (curl, |", ["firefox"]),
        ("app in curl, goo|", ["Google Chrome"]),
        ("domain under net|", ["netflix.com"]),
        ("scope = |", ["internet", "private", "loopback", "peer", "replay", "unknown"]),
        ("scope = lo|", ["loopback"]),
        ("protocol = icm|", ["icmp", "icmpv6"]),
        ("port = ht|", ["443", "80", "8080"]),
        ("port = 44|", ["443", "445"]),
        ("bytes > 5|", ["5kB", "5MB", "5GB"]),
        ("bytes > 5M|", ["5MB", "5MiB"]),
        ("packets > |", ["10k", "10M", "10G"]),
        ("browser = fire|", ["Firefox"]),
        ("app = firefox |", ["and", "or"]),
        ("(app = firefox |", ["and", "or", ")"]),
        ("app in firefox |", ["and", "or", ","]),
        ("app = firefox a|", ["and"]),
    ],
)
async def test_what_is_offered(marked: str, first: list[str]) -> None:
    assert (await labels(marked))[: len(first)] == first


@pytest.mark.parametrize(
    "marked", ["doman = |", "app = x y |", "remote = |", 'app = "x" "|', "app ~ f*|", "app = x )|"]
)
async def test_nothing_is_offered_where_nothing_fits(marked: str) -> None:
    assert await labels(marked) == []


@pytest.mark.parametrize(
    ("marked", "after"),
    [
        ("do|", "domain"),
        ("app = fire| and port = 1", "app = firefox and port = 1"),
        ("app = fi|re and port = 1", "app = firefox and port = 1"),
        ("app = goo|", 'app = "Google Chrome"'),
        ('app = "Goo|', 'app = "Google Chrome"'),
        ('app = "Goo|gle" or app = curl', 'app = "Google Chrome" or app = curl'),
        ("app !| x", "app != x"),
        ("app = curl a| port = 1", "app = curl and port = 1"),
    ],
)
async def test_the_word_at_the_cursor_is_replaced(marked: str, after: str) -> None:
    first = (await offered(marked))[0]
    text = marked.replace("|", "")
    assert text[: first.start] + first.insert + text[first.end :] == after


async def test_the_answer_in_json() -> None:
    (one,) = await offered("sit|")
    assert msgspec.json.decode(msgspec.json.encode(one)) == {
        "label": "site",
        "insert": "site",
        "kind": "field",
        "from": 0,
        "to": 3,
        "about": "site that caused the traffic",
        "bytes": None,
    }


@pytest.mark.parametrize(
    ("marked", "first"),
    [
        ("app = |", [("curl", 9), ("apt", 0)]),
        ("protocol = |", [("udp", 500), ("tcp", 40), ("icmp", None)]),
        ("port = |", [("22", 7), ("7000", 5), ("443", None)]),
        ("port in (7|", [("7000", 5)]),
        ("browser = |", [("none", 30), ("Firefox", 20)]),
    ],
)
async def test_values_of_most_bytes_come_first(marked: str, first: list[tuple[str, int | None]]) -> None:
    told: dict[str, dict[str, int | None]] = {
        "app": {"curl": 9, "apt": 0},
        "protocol": {"tcp": 40, "udp": 500},
        "port": {"7000": 5, "22": 7},
        "browser": {"Firefox": 20, "none": 30},
    }

    async def used(field: Field, prefix: str, limit: int) -> Mapping[str, int | None]:
        return told[field.name]

    offers = await complete(marked.replace("|", ""), marked.index("|"), used)
    assert [(one.label, one.bytes) for one in offers[: len(first)]] == first


async def test_the_number_of_offers_is_bounded() -> None:
    assert len(await complete("", 0, values, limit=2)) == 2
    assert await complete("a" * 3_000, 10, values) == []


@given(st.text(max_size=40), st.integers(-5, 50))
async def test_no_text_and_no_cursor_is_an_error(text: str, cursor: int) -> None:
    for one in await complete(text, cursor, values):
        assert 0 <= one.start <= one.end <= len(text)


def wrong_from(text: str) -> int:
    """Where the mistake is; the length when there is none."""
    try:
        parse(text)
    except FilterError as error:
        return error.start
    return len(text)


_VALUES = ["", "app = curl and ", "not (", "domain in github.com, ", "port ", "scope not in "]


@given(st.sampled_from(_VALUES), st.lists(st.integers(0, 20), min_size=1, max_size=8))
async def test_what_is_offered_can_be_followed(start: str, picks: list[int]) -> None:
    """Taking offers one after the other never leads into a text that is wrong before its end."""
    text = start
    for pick in picks:
        offers = await complete(text, len(text), values)
        if not offers:
            break
        taken = offers[pick % len(offers)]
        text = text[: taken.start] + taken.insert + " "
        assert wrong_from(text) >= len(text.rstrip()), text
