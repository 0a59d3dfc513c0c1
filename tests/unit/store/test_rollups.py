"""Which part of an asked range may be refreshed."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from netally.store.rollups import TierState, window
from netally.store.tiers import DAY, HOUR, MINUTE, SECOND, find, floor

ZONE = ZoneInfo("Europe/Berlin")
NOW = 1_795_343_400_000
"""2026-11-22T10:30:00Z."""


def state(watermark: int = 0, dropped_before: int = 0, oldest: int = 0) -> TierState:
    return TierState(watermark, dropped_before, oldest)


def states(**changes: TierState) -> dict[str, TierState]:
    everything = state(watermark=NOW, oldest=NOW - 300 * DAY)
    return {"raw": everything, "1m": everything, "1h": everything, "1d": everything} | {
        name.replace("t", ""): value for name, value in changes.items()
    }


def asked(tier: str, start: int, end: int, **changes: TierState) -> tuple[int, int]:
    return window(find(tier), start, end, NOW, states(**changes), ZONE)


def test_it_is_widened_to_whole_buckets() -> None:
    start = NOW - 3 * HOUR + 7 * SECOND
    assert asked("1h", start, start + 1) == (floor(start, "1h", ZONE), floor(start, "1h", ZONE) + HOUR)


def test_it_begins_a_bucket_after_what_was_dropped_below() -> None:
    dropped = NOW - 7 * DAY
    assert asked("1h", 0, NOW, raw=state(NOW, dropped, dropped), t1m=state(NOW, dropped, dropped))[0] == (
        floor(dropped, "1h", ZONE) + HOUR
    )


def test_it_ends_with_the_present_bucket() -> None:
    assert asked("1m", NOW - HOUR, NOW + DAY)[1] == NOW
    assert asked("1h", NOW - 5 * HOUR, NOW + DAY)[1] == NOW - 30 * MINUTE


def test_it_ends_where_the_tier_below_is_stored() -> None:
    assert asked("1h", NOW - 9 * HOUR, NOW, t1m=state(NOW - 2 * HOUR, 0, 1))[1] == NOW - 150 * MINUTE


def test_it_leaves_no_hole_above_the_watermark() -> None:
    behind = state(watermark=NOW - 5 * HOUR, oldest=1)
    assert asked("1m", NOW - HOUR, NOW, t1m=behind)[0] == NOW - 5 * HOUR


def test_without_data_there_is_nothing_to_refresh() -> None:
    start, end = asked("1m", 0, NOW, raw=state())
    assert start == end


@given(
    st.sampled_from(("1m", "1h", "1d")),
    st.integers(-400 * DAY, 10 * DAY),
    st.integers(0, 400 * DAY),
    st.integers(0, 300 * DAY),
    st.integers(0, 300 * DAY),
)
def test_it_never_reaches_what_is_dropped_nor_the_present(
    tier: str, offset: int, length: int, dropped: int, behind: int
) -> None:
    below = state(NOW, NOW - dropped, NOW - dropped)
    start, end = window(
        find(tier),
        NOW + offset,
        NOW + offset + length,
        NOW,
        {"raw": below, "1m": below, "1h": below, "1d": below}
        | {tier: state(floor(NOW - behind, tier, ZONE), 0, NOW - 300 * DAY)},
        ZONE,
    )
    assert end <= floor(NOW, tier, ZONE)
    assert (floor(start, tier, ZONE), floor(end, tier, ZONE)) == (start, end)
    if start < end:
        assert start >= NOW - dropped
        assert end <= floor(NOW - behind, tier, ZONE) or start <= max(
            floor(NOW - behind, tier, ZONE), floor(NOW - dropped, tier, ZONE) + DAY + HOUR
        )
