from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netally.api.export import disposition


def test_a_plain_name() -> None:
    assert disposition("a-1.csv") == "attachment; filename=\"a-1.csv\"; filename*=UTF-8''a-1.csv"


@given(st.text(max_size=50))
def test_no_name_leaves_its_quotes(name: str) -> None:
    header = disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert header.count(";") == 2
