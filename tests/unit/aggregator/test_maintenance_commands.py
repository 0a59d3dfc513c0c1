"""Words of outcomes; what the commands do is in tests/integration/test_command_effects.py."""

from __future__ import annotations

from netally.aggregator.maintenance_commands import _gigabytes, _many, _value


def test_amounts_in_words() -> None:
    assert (_many(1, "row"), _many(0, "row"), _many(5, "bucket")) == ("1 row", "0 rows", "5 buckets")
    assert (_gigabytes(22_200_000_000), _gigabytes(5_000_000)) == ("22.2 GB", "5.0 MB")
    assert (_value(None), _value(7)) == ("for ever", "7")
