"""Port classes. That the database agrees for every port is tested on it."""

from __future__ import annotations

import pytest

from netally.store.port_classes import port_class


@pytest.mark.parametrize(("port", "kept"), [(0, 0), (1, 1), (1023, 1023), (1024, 0), (8080, 8080), (48_000, 0)])
def test_well_known_ports_keep_their_number(port: int, kept: int) -> None:
    assert port_class(port) == kept
