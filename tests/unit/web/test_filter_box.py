from __future__ import annotations

import pytest

from netally.web.api_client import ApiProblem
from netally.web.filter_box import FilterBox, is_of_filter, joined, read_filter, refused_box

TEXT = "app = and"


def problem(status: int = 400, parameter: str = "filter", start: int | None = 6, end: int | None = 9) -> ApiProblem:
    return ApiProblem(status, "a value is missing at column 7.", parameter=parameter, start=start, end=end)


def test_the_box_points_at_what_is_wrong() -> None:
    box = refused_box(TEXT, problem())
    assert (box.problem, box.column) == ("A value is missing at column 7.", 7)
    assert (box.before, box.wrong, box.after) == ("app = ", "and", "")


def test_what_is_missing_at_the_end_is_shown_as_missing() -> None:
    box = refused_box("app =", problem(start=5, end=5))
    assert (box.before, box.wrong.strip(), box.column) == ("app =", "…", 6)
    assert refused_box("app", problem(start=None)) == FilterBox("app", "A value is missing at column 7.")


@pytest.mark.parametrize(
    ("found", "of_filter"),
    [(problem(), True), (problem(422), True), (problem(503), False), (problem(400, "from"), False)],
)
def test_only_a_refused_filter_is_the_filters_fault(found: ApiProblem, of_filter: bool) -> None:
    assert is_of_filter(found) is of_filter


def test_conditions_join_as_they_are_meant() -> None:
    assert joined("", "app = curl") == "app = curl"
    assert joined("host = a or host = b", "app = curl") == "(host = a or host = b) and app = curl"
    assert joined("", "") == ""


def test_a_filter_is_read_from_the_url_and_bounded() -> None:
    assert read_filter({"filter": "  app = curl "}) == "app = curl"
    assert len(read_filter({"filter": "x" * 5000})) == 2000
