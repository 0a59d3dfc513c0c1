from __future__ import annotations

import pytest

from netally.api.commands import _place
from netally.api.problems import ProblemError


def test_a_place_in_the_ledger() -> None:
    assert _place(None) == (None, "")
    assert _place("1795305600000.abc") == (1_795_305_600_000, "abc")
    for wrong in ("", "x.y", "9" * 30, "²"):
        with pytest.raises(ProblemError) as problem:
            _place(wrong)
        assert problem.value.problem.parameter == "before"
