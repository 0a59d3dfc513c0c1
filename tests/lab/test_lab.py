"""The lab in its short form: every mode reaches its gates; where the kernel takes no programs, the mode below does."""

from __future__ import annotations

import pytest

from netally.capture.ebpf.kernel_programs import problem
from tests.lab.gates import failures
from tests.lab.scenario import Lifetime, Setting, run

pytestmark = pytest.mark.root

SHORT = [Lifetime("< 5 ms", 0, 3), Lifetime("< 50 ms", 25, 1), Lifetime("< 1 s", 300, 1)]


@pytest.mark.parametrize("mode", ["ebpf", "packets", "unprivileged"])
def test_gates(mode: str) -> None:
    if mode == "ebpf" and problem():
        mode = "packets"
    found = run(mode, Setting("plain"), SHORT)
    assert failures(found, short_ones=False) == []
