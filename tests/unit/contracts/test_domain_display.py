"""Names for people: decoded where that is safe, as they are where it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.contracts.domain_display import display_name


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("www.example.org", "www.example.org"),
        ("xn--mnchen-3ya.de", "münchen.de"),
        ("www.love.xn--55qx5d", "www.love.公司"),
        ("xn--eckwd4c7c.xn--zckzah", "ドメイン.テスト"),
        ("xn--pypal-4ve.com", "xn--pypal-4ve.com"),  # one Cyrillic letter among Latin ones
        ("xn--a.example", "xn--a.example"),
        ("xn--.example", "xn--.example"),
        ("xn--999999b.example", "xn--999999b.example"),
        ("", ""),
    ],
)
def test_names(stored: str, shown: str) -> None:
    assert display_name(stored) == shown


@given(st.from_regex(r"xn--[a-z0-9-]{0,30}", fullmatch=True))
def test_any_label_is_shown_printable(label: str) -> None:
    shown = display_name(f"{label}.example")
    assert shown.isprintable()
    assert shown.endswith(".example")
