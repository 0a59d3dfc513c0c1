from __future__ import annotations

from typing import Any

import pytest

from netally.contracts.queries import HostsAnswer, Meta
from netally.web.api_client import ApiProblem
from netally.web.ranged_page import Part, drawn, first_run, settle

META = Meta("1m", 0, 1, 0, 0, [], None, None, 0)


async def fails(status: int) -> Any:
    raise ApiProblem(status, "The database did not answer within 5 s.")


async def test_a_part_may_fail_by_itself_but_a_lost_session_ends_the_page() -> None:
    answer = await settle(fails(503))
    assert drawn(answer, HostsAnswer, lambda found: found.hosts) == Part("The database did not answer within 5 s.")
    for status in (0, 400, 401, 403):
        with pytest.raises(ApiProblem):
            await settle(fails(status))


def test_an_answer_is_drawn() -> None:
    assert drawn(HostsAnswer([], META), HostsAnswer, lambda found: len(found.hosts)) == 0


def test_no_host_at_all_is_the_first_run() -> None:
    assert first_run(HostsAnswer([], META), META)
    assert not first_run(ApiProblem(503, "Away."), META)
