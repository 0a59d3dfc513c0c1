from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.api.live import LiveTraffic, total
from netally.contracts.agent import LiveFlow
from tests.builders import START, make_live_sample

HOST = "web-1.example.org"


def feed(traffic: LiveTraffic, seconds: int, *, at: int = START, skew: int = 0, **changes: Any) -> int:
    """One sample a second, received 30 ms after its end by a clock that is ``skew`` ahead; the last time of receipt."""
    received = at
    for second in range(1, seconds + 1):
        end = at + second * 1000
        received = end + 30 + skew
        assert traffic.add(make_live_sample(time=end, flows=[], **changes), received)
    return received


def rates(traffic: LiveTraffic, now: int, host: str = HOST) -> tuple[float | None, float | None]:
    found = traffic.bandwidth(host, now)
    return found.bytes_in, found.bytes_out


@pytest.mark.parametrize("skew", [0, 3_600_000, -86_400_000])
def test_ten_megabytes_in_one_second_are_two_a_second_over_five(skew: int) -> None:
    traffic = LiveTraffic()
    feed(traffic, 10, bytes_in=0, bytes_out=0, skew=skew)
    feed(traffic, 1, at=START + 10_000, bytes_in=10_000_000, bytes_out=500_000, skew=skew)
    for second in range(11, 15):
        now = feed(traffic, 1, at=START + second * 1000, bytes_in=0, bytes_out=0, skew=skew)
        assert rates(traffic, now) == (2_000_000, 100_000)
    now = feed(traffic, 1, at=START + 15_000, bytes_in=0, bytes_out=0, skew=skew)
    assert rates(traffic, now) == (0, 0)


@given(st.lists(st.integers(min_value=930, max_value=1070), min_size=20, max_size=20), st.integers(8, 12))
def test_jittering_seconds_do_not_change_the_rate(spans: list[int], burst: int) -> None:
    traffic = LiveTraffic()
    now = START
    for number, span in enumerate(spans):
        now += span
        traffic.add(
            make_live_sample(time=now, span_ms=span, bytes_in=10_000_000 if number == burst else 0, flows=[]), now
        )
        if burst <= number < burst + 4:
            found, _ = rates(traffic, now)
            assert found == pytest.approx(2_000_000, rel=0.05)


def test_a_rate_is_not_known_before_five_seconds_are() -> None:
    traffic = LiveTraffic()
    now = feed(traffic, 4)
    assert rates(traffic, now) == (None, None)
    now = feed(traffic, 1, at=START + 4_000)
    assert rates(traffic, now) == (1_000_000, 100_000)


def test_a_lost_sample_makes_the_rate_unknown_not_low() -> None:
    traffic = LiveTraffic()
    feed(traffic, 8)
    now = feed(traffic, 1, at=START + 9_000)
    assert rates(traffic, now) == (None, None)
    now = feed(traffic, 5, at=START + 10_000)
    assert rates(traffic, now) == (1_000_000, 100_000)


def test_an_agent_that_is_away_is_null_and_named() -> None:
    traffic = LiveTraffic()
    now = feed(traffic, 10)
    other = "db-1"
    for second in range(1, 31):
        end = START + second * 1000
        traffic.add(make_live_sample(host=other, time=end, bytes_in=7_000, bytes_out=0, flows=[]), end)
    now = START + 30_000
    assert rates(traffic, now) == (None, None)
    assert traffic.bandwidth(HOST, now).time == START + 10_030
    assert traffic.present(now) == {other}
    assert total([traffic.bandwidth(name, now) for name in traffic.names(now)]).bytes_in == 7_000
    assert total([traffic.bandwidth(HOST, now)]).bytes_in is None
    assert traffic.bandwidth("never heard", now).time is None


def test_hosts_silent_for_an_hour_are_forgotten() -> None:
    traffic = LiveTraffic()
    now = feed(traffic, 3)
    assert traffic.names(now + 3_000_000) == [HOST]
    assert traffic.names(now + 3_700_000) == []


def test_a_step_of_the_clock_starts_anew() -> None:
    traffic = LiveTraffic()
    feed(traffic, 10)
    now = START + 11_000
    assert traffic.add(make_live_sample(time=START - 500_000, flows=[]), now)
    assert rates(traffic, now) == (None, None)


@pytest.mark.parametrize(
    "changes", [{"span_ms": 0}, {"span_ms": -5}, {"span_ms": 10**9}, {"bytes_in": -1}, {"bytes_out": -1}]
)
def test_impossible_samples_are_of_no_use(changes: dict[str, int]) -> None:
    traffic = LiveTraffic()
    assert not traffic.add(make_live_sample(**changes), START)
    assert traffic.names(START) == []


def test_a_repeated_sample_counts_once() -> None:
    traffic = LiveTraffic()
    now = feed(traffic, 10)
    assert not traffic.add(make_live_sample(time=START + 10_000), now)
    assert rates(traffic, now)[0] == 1_000_000


def test_movers_are_ranked_by_the_last_five_seconds_then_the_minute() -> None:
    traffic = LiveTraffic()
    for second in range(1, 31):
        end = START + second * 1000
        flows = [LiveFlow(app="curl", domain="example.org", remote=f"192.0.2.{second}", bytes_in=100, bytes_out=0)]
        if second == 1:
            flows.append(LiveFlow(app="restic", domain="", remote="198.51.100.1", bytes_in=0, bytes_out=9_000_000))
            flows.append(LiveFlow(app="restic", domain="", remote="198.51.100.2", bytes_in=0, bytes_out=1))
        traffic.add(make_live_sample(time=end, flows=flows), end)
    now = START + 30_000
    movers = traffic.movers(now, 10)
    assert [(mover.app, mover.remote, mover.rate_in) for mover in movers] == [
        ("curl", "192.0.2.30", 100.0),
        ("restic", "198.51.100.1", 0.0),
        ("restic", "198.51.100.2", 0.0),
    ]
    assert (movers[0].bytes_in, movers[1].bytes_out, movers[0].last_seen) == (3_000, 9_000_000, now)
    assert len(traffic.movers(now, 1)) == 1
    assert traffic.movers(now, 10, ["another"]) == []


def test_movers_leave_after_a_minute_and_with_their_host() -> None:
    traffic = LiveTraffic()
    flow = LiveFlow(app="curl", domain="example.org", remote="192.0.2.1", bytes_in=100, bytes_out=1)
    traffic.add(make_live_sample(time=START, flows=[flow]), START)
    for second in range(1, 70):
        traffic.add(make_live_sample(time=START + second * 1000, flows=[]), START + second * 1000)
        assert [mover.bytes_in for mover in traffic.movers(START + second * 1000, 5)] == ([100] if second < 60 else [])
    now = START + 70_000
    traffic.add(make_live_sample(time=now, flows=[flow]), now)
    assert len(traffic.movers(now, 5)) == 1
    assert traffic.movers(now + 6_000, 5) == []


def test_history_is_null_where_no_host_reported() -> None:
    traffic = LiveTraffic()
    now = feed(traffic, 20)
    start, bytes_in, bytes_out = traffic.history(now)
    assert start == now // 1000 * 1000 - 61_000
    assert len(bytes_in) == len(bytes_out) == 60
    # 60 seconds up to a second ago: 41 before the first sample, 19 with one.
    assert bytes_in[:40] == [None] * 40
    assert bytes_in[-18:] == pytest.approx([1_000_000] * 18)
    assert traffic.history(now, ["another"])[1] == [None] * 60


@given(st.lists(st.tuples(st.integers(900, 1100), st.integers(0, 10**9)), min_size=62, max_size=70))
def test_history_loses_no_byte(samples: list[tuple[int, int]]) -> None:
    traffic = LiveTraffic()
    now = START
    spans = []
    for span, size in samples:
        now += span
        traffic.add(make_live_sample(time=now, span_ms=span, bytes_in=size, flows=[]), now)
        spans.append((now - span, now, size))
    start, bytes_in, _ = traffic.history(now)
    covered = {
        second: sum(
            size * (min(end, second + 1000) - max(begin, second)) / (end - begin)
            for begin, end, size in spans
            if begin < second + 1000 and end > second
        )
        for second in range(max(start, START + 1000), now - 2000, 1000)
    }
    for second, expected in covered.items():
        assert bytes_in[(second - start) // 1000] == pytest.approx(expected, abs=1)
