"""Which hosts are meant; with real agents it is in tests/integration/test_fleet_commands.py."""

from __future__ import annotations

import pytest

from netally.aggregator.fleet_commands import FleetCommands, _many, _some
from netally.contracts.commands import RefusedError


def test_hosts_are_all_or_the_named_ones() -> None:
    assert FleetCommands._named(None, {"b", "a"}) == ["a", "b"]
    assert FleetCommands._named(["b", "b"], {"b", "a"}) == ["b"]
    for wanted, known in ((["c"], {"a"}), (None, set[str]())):
        with pytest.raises(RefusedError) as refused:
            FleetCommands._named(wanted, known)
        assert refused.value.field == "hosts"


def test_words() -> None:
    assert _some([str(number) for number in range(7)]) == "0, 1, 2, 3, 4 and 2 more"
    assert (_many(1, "entry", "entries"), _many(2, "entry", "entries")) == ("1 entry", "2 entries")
