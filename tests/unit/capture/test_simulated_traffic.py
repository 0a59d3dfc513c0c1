"""What the simulated agents send: decodable, the same each time, consistent between ends, causes and samples."""

from __future__ import annotations

from itertools import pairwise
from zoneinfo import ZoneInfo

from netally.capture.simulated_traffic import (
    DAY,
    HOUR,
    MINUTE,
    MONTHS,
    Breaks,
    Interval,
    Rhythm,
    activity,
    batch,
    history,
    live_sample,
    make_fleet,
    report,
)
from netally.contracts.codes import Cause, Role, Scope
from netally.contracts.flow import FlowsObserved
from netally.contracts.wire import decode_batch, encode_batch
from tests.builders import START, packed

UTC = ZoneInfo("UTC")
NEVER = Breaks(DAY, MINUTE, 0.0)
STEADY = Rhythm(NEVER, NEVER, NEVER)
ALWAYS = Breaks(DAY, DAY, 1.0)
NOON = START + 12 * HOUR
FLEET = make_fleet(7, 20)


def made(number: int, start: int = NOON, length: int = 5_000, rhythm: Rhythm = STEADY, **more: float) -> FlowsObserved:
    found = batch(
        FLEET[number], FLEET, Interval(start, length), rhythm, UTC, epoch="a" * 32, sequence=1, rows=more.get("rows", 1)
    )
    assert found is not None
    return found


def test_every_batch_is_what_the_reader_takes() -> None:
    for number in range(20):
        for start, length in ((NOON, 5_000), (NOON, 60_000), (NOON, HOUR)):
            one = made(number, start, length)
            assert decode_batch(encode_batch(one)) == one


def test_the_same_seed_gives_the_same_and_another_seed_another() -> None:
    assert made(3) == made(3)
    assert make_fleet(8, 20) != FLEET
    assert made(3).records != made(4).records


def test_the_causes_sum_to_the_records_and_what_is_no_ip() -> None:
    one = made(2)
    counted = {Cause(row.cause): row for row in one.tally}
    named = [r for r in one.records if r.app and r.domain and r.scope != Scope.LOOPBACK]
    assert counted[Cause.ATTRIBUTED].bytes_in == sum(r.bytes_in for r in named)
    inside = sum(r.bytes_out for r in one.records if r.scope != Scope.LOOPBACK)
    of_flows = (Cause.ATTRIBUTED, Cause.NO_NAME, Cause.NO_PROCESS, Cause.UNKNOWN)
    assert sum(row.bytes_out for cause, row in counted.items() if cause in of_flows) == inside


def test_copies_between_two_hosts_have_the_same_bytes_at_both_ends() -> None:
    found = 0
    for step in range(40):
        nas, desktop = made(0, NOON + step * 5_000), made(1, NOON + step * 5_000)
        sent = [r for r in desktop.records if r.remote == packed(FLEET[0].address)]
        got = [r for r in nas.records if r.remote == packed(FLEET[1].address)]
        assert [(r.bytes_in, r.bytes_out) for r in sent] == [(r.bytes_out, r.bytes_in) for r in got]
        assert all(r.role == Role.CLIENT for r in sent)
        assert all(r.role == Role.SERVER for r in got)
        found += len(sent)
    assert found


def test_a_paused_host_tells_only_what_its_counter_saw_and_an_absent_one_nothing() -> None:
    paused = made(1, rhythm=STEADY._replace(paused=ALWAYS))
    assert (paused.records, paused.coverage.measured_ms, paused.coverage.paused) == ([], 0, True)
    assert [row.cause for row in paused.tally] == [Cause.PAUSED]
    assert report(
        FLEET[1],
        STEADY._replace(paused=ALWAYS),
        time=NOON + 1,
        started_at=0,
        epoch="a" * 32,
        sequence=1,
        interval=5,
    ).paused
    away = batch(FLEET[1], FLEET, Interval(NOON, 5_000), STEADY._replace(away=ALWAYS), UTC, epoch="a" * 32, sequence=1)
    assert away is None


def test_people_sleep_and_have_weekends() -> None:
    desktop = FLEET[1]
    # 2026-11-22 is a Sunday.
    assert activity(desktop, START + 3 * HOUR, UTC) < 0.1 < activity(desktop, NOON, UTC)
    assert activity(desktop, NOON, UTC) < activity(desktop, NOON + DAY, UTC)


def test_the_seconds_of_an_interval_sum_to_its_batch() -> None:
    one = made(1)
    samples = [live_sample(one, second) for second in range(5)]
    inside = [r for r in one.records if r.scope != Scope.LOOPBACK]
    assert abs(sum(s.bytes_in for s in samples) - sum(r.bytes_in for r in inside)) <= 5 * len(inside)
    assert [s.time - NOON for s in samples] == [1_000, 2_000, 3_000, 4_000, 5_000]
    assert all(s.flows for s in samples)


def test_an_hour_says_that_all_of_it_was_measured_until_its_end() -> None:
    one = made(1, NOON, HOUR, rows=0.3)
    assert (one.interval, one.coverage.measured_ms, one.coverage.cut_ms) == (60, HOUR, HOUR)
    # Fewer rows, but the traffic of an hour.
    assert sum(r.bytes_in for r in one.records) > 20 * sum(r.bytes_in for r in made(1).records)


def test_history_has_no_hole_and_gets_finer_towards_now() -> None:
    now = NOON + 1_234
    steps = history(START - 40 * DAY + 5_000, now)
    assert steps[0].start == START - 40 * DAY + 5_000
    assert all(one.start + one.length_ms == after.start for one, after in pairwise(steps))
    assert steps[-1].start + steps[-1].length_ms == NOON
    assert {step.length_ms for step in steps} == {HOUR, 10 * MINUTE, MINUTE, 5_000}
    # A week is drawn by the half hour.
    assert all(step.length_ms < 30 * MINUTE for step in steps if step.start >= now - 7 * DAY)
    assert all(step.start % step.length_ms == 0 for step in steps)


def test_breaks_come_about_as_often_as_they_should() -> None:
    days = [MONTHS.away.holds(FLEET[3].mark, START - day * DAY) for day in range(4_000)]
    assert 0.003 < sum(days) / len(days) < 0.03
    assert not any(NEVER.holds(1, START + step * MINUTE) for step in range(1_000))
