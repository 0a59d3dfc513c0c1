from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from netally.contracts.queries import Meta, TimelineAnswer, TimelinePoint, TimelineSeries
from netally.web import charts
from netally.web.charts import spark, step_path, timeline
from netally.web.ranges import HOUR

UTC = ZoneInfo("UTC")
START = 1_795_305_600_000
rates = st.lists(st.none() | st.floats(0, 1e10), max_size=60)


def answer(
    *series: tuple[str, int | None, list[int | None]], bucket: int = 60, until: int | None = None
) -> TimelineAnswer:
    """A timeline whose points have the same bytes in and out; null is not measured."""
    made = [
        TimelineSeries(
            name,
            [
                TimelinePoint(START + index * bucket * 1000, value, value, 0.0 if value is None else 1.0)
                for index, value in enumerate(values)
            ],
            ident,
        )
        for name, ident, values in series
    ]
    end = START + len(series[0][2]) * bucket * 1000 if series else START + HOUR
    meta = Meta("raw", START, end, 1, 1, [], end if until is None else until, 1.0, 1)
    return TimelineAnswer(bucket, made, meta)


NOW = START + 24 * HOUR


def test_a_path_has_one_step_a_value_and_leaves_gaps_open() -> None:
    assert step_path([2, None, 4], 10, 4, base=20, sign=-1) == "M0 20V15H1V20zM2 20V10H3V20z"
    assert step_path([2], 10, 4, base=0, sign=1) == "M0 0V5H1V0z"
    assert step_path([], 10, 4, base=0, sign=1) == ""


@given(rates)
def test_a_spark_never_leaves_its_box(values: list[float | None]) -> None:
    made = spark(values)
    heights = [float(number) for number in re.findall(r"V(-?[\d.]+)", made.path)]
    assert all(0 <= height <= 40 for height in heights)
    assert sum(length for _, length in made.gaps) == sum(value is None for value in values)


def test_a_spark_says_its_range() -> None:
    assert spark([7.1e6, None, 14.2e6]).words == "3\u00a0s: 56.8 to 113.6\u00a0Mbit/s"
    assert spark([None, None]).words == "2\u00a0s: not measured"


def test_null_is_a_hatched_gap_with_its_time_and_never_zero() -> None:
    drawn = timeline(answer(("all", None, [60, None, None, 0])), UTC, NOW)
    (gap,) = drawn.gaps
    assert (gap.x, gap.width) == (25, 50)
    assert gap.words == ["Not measured", "22\u00a0Nov\u00a000:01 – 22\u00a0Nov\u00a000:03", "no host reported"]
    assert drawn.data["known"] == [1, 0, 0, 1]
    assert drawn.data["bands"][0]["in"] == [8.0, None, None, 0.0]
    assert ("not measured" in drawn.rows[1].coverage, drawn.rows[1].bytes_in) == (True, None)
    assert drawn.rows[3].bytes_in == 0


def test_bands_are_stacked_from_the_axis_with_the_rest_and_the_unknown_outside() -> None:
    drawn = timeline(
        answer(("", 0, [1]), ("others", None, [2]), ("restic", 7, [30]), ("git", 9, [20])), UTC, NOW, split="app"
    )
    assert [(band.name, band.mark) for band in drawn.bands] == [
        ("restic", "c1"), ("git", "c2"), ("others", "c0"), ("no process", "bare"),
    ]  # fmt: skip
    # 53 bytes a minute are 7.07 bit/s, under a scale to 8: the whole stack reaches to 150 - 7.07 / 8 * 150.
    assert drawn.data["top"] == 8
    assert "V17.5H1" in drawn.bands[-1].path_in
    assert "V282.5H1" in drawn.bands[-1].path_out


def test_an_application_that_is_called_others_is_not_the_rest() -> None:
    drawn = timeline(answer(("others", 5, [2]), ("others", None, [2])), UTC, NOW, split="app")
    assert [band.mark for band in drawn.bands] == ["c1", "c0"]


def test_the_bucket_that_is_being_filled_is_not_drawn_as_a_fall_and_is_no_peak() -> None:
    made = answer(("all", None, [600, 100]))
    half = TimelinePoint(START + 60_000, 500, 500, 0.5)
    made = TimelineAnswer(60, [TimelineSeries("all", [made.series[0].points[0], half])], made.meta)
    drawn = timeline(made, UTC, START + 90_000)
    assert drawn.data["bands"][0]["in"] == [80.0, 133.3]
    assert drawn.peak_in is not None
    assert drawn.peak_in.rate == "80\u00a0bit/s"


def test_late_data_is_marked_only_where_it_is_late() -> None:
    values: list[int | None] = [60] * 10
    assert timeline(answer(("all", None, values)), UTC, NOW).until is None
    drawn = timeline(answer(("all", None, values), until=START + 300_000), UTC, NOW)
    assert drawn.until == 50
    assert drawn.until_words == "complete until Sun\u00a000:05"


def test_what_has_not_come_in_yet_is_late_and_not_unmeasured() -> None:
    values: list[int | None] = [60, 60, None, 60, None, None]
    drawn = timeline(answer(("all", None, values), until=START + 240_000), UTC, START + 360_000)
    assert [(round(gap.x), round(gap.width)) for gap in drawn.gaps] == [(33, 17)]
    assert drawn.until is not None
    assert sum(width for _, width, _ in drawn.coverage) < 67
    # With no host reporting nothing is on its way.
    silent = msgspec.structs.replace(answer(("all", None, values)).meta, complete_until=None)
    drawn = timeline(msgspec.structs.replace(answer(("all", None, values)), meta=silent), UTC, START + 360_000)
    assert len(drawn.gaps) == 2


@given(st.integers(1, 1500), st.sampled_from([5, 10, 15, 60, 300, 900, 1800, 3600, 10800, 86400]))
def test_the_table_beside_the_chart_has_few_rows_of_whole_buckets(points: int, width: int) -> None:
    step = charts._row_step(points, width)
    assert step >= 1
    assert points / step <= 15


def test_no_series_at_all_is_an_empty_chart() -> None:
    drawn = timeline(answer(), UTC, NOW)
    assert drawn.bands == []
    assert drawn.data["times"] == []


@given(st.floats(1e-6, 1e12))
def test_the_scale_ends_at_a_round_number_not_far_above(value: float) -> None:
    top = charts.nice_ceiling(value)
    assert value <= top <= value * 1.7
    assert len(f"{top:.12g}".replace(".", "").strip("0").partition("e")[0]) <= 2


@given(
    st.integers(0, 2_000_000_000),
    st.integers(60, 86400 * 400),
    st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]),
)
def test_ticks_lie_inside_the_axis_and_are_few(start: int, length: int, zone: str) -> None:
    ticks = charts.tick_times(start * 1000, (start + length) * 1000, ZoneInfo(zone))
    assert len(ticks) <= 14
    assert all(start * 1000 <= time < (start + length) * 1000 for time, _, _ in ticks)


def test_ticks_are_round_local_times() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")
    assert [words for _, words, _ in charts.tick_times(START, START + 6 * HOUR, kolkata)] == [
        "06:00", "07:00", "08:00", "09:00", "10:00", "11:00",
    ]  # fmt: skip


def test_a_gap_says_why_as_far_as_it_is_known() -> None:
    def reasons(*paused: bool | None) -> list[str]:
        """One bucket each: null is measured, else whether it was paused."""
        points = [
            TimelinePoint(START + index * 60_000, 1, 1, 1.0)
            if each is None
            else TimelinePoint(START + index * 60_000, None, None, 0.0, each)
            for index, each in enumerate(paused)
        ]
        end = START + len(points) * 60_000
        found = TimelineAnswer(60, [TimelineSeries("all", points)], Meta("raw", START, end, 1, 1, [], end, 1.0, 1))
        return [gap.words[2] for gap in timeline(found, UTC, NOW).gaps]

    assert reasons(None, True, True, None) == ["paused"]
    assert reasons(None, False, None) == ["no host reported"]
    assert reasons(None, True, False, None, True, None) == ["paused or no report", "paused"]
