from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netally.store.export_rows import SLICES, columns, slices


@given(tier=st.sampled_from(list(SLICES)), start=st.integers(0, 10**13), length=st.integers(0, 10**10))
def test_slices_make_up_the_range(tier: str, start: int, length: int) -> None:
    length %= 50 * SLICES[tier]
    found = list(slices(tier, start, start + length))
    assert sum(end - begin for begin, end in found) == length
    assert all(0 < end - begin <= SLICES[tier] for begin, end in found)
    assert [begin for begin, _ in found[1:]] == [end for _, end in found[:-1]]


def test_a_tier_has_the_columns_that_it_keeps() -> None:
    assert "remote" in columns("raw")
    assert "last_used" not in columns("raw")
    assert not {"remote", "domain_source", "process_source"} & set(columns("1h"))
