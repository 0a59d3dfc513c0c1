"""Names of files; what is in them is in tests/integration/test_command_effects.py."""

from __future__ import annotations

from netally.aggregator.export_command import Completeness, _file_name, _why_not
from netally.contracts.commands import Export
from netally.store.counted import Counted
from netally.store.tiers import HOUR
from tests.builders import START


def test_a_file_is_named_for_what_it_holds() -> None:
    wanted = Export(from_=START, to=START + HOUR, format="json")
    counted = Counted(tier="1h", start=START, end=START + HOUR, scopes=[])
    assert _file_name("ab" * 16, wanted, counted) == "netally-1h-20261122T000000Z-20261122T010000Z-ababab.jsonl"


def test_why_a_range_is_not_complete() -> None:
    assert _why_not(Completeness(None, None, ["a"], False)) == "a may still send rows of that time"
    assert "not stored yet" in _why_not(Completeness(0, None, [], False))
