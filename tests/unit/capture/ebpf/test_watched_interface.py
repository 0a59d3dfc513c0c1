"""An interface under watch: it follows what it is, and knows when it was away."""

from __future__ import annotations

import time
import uuid

import pytest

from netally.capture.attribution import Attribution, first_ephemeral_port
from netally.capture.capture_mode import find_mode
from netally.capture.ebpf.kernel_programs import InterfacePrograms, problem
from netally.capture.ebpf.watched_interface import WatchedInterface
from netally.capture.flow_names import FlowNames
from netally.capture.flow_table import FlowTable
from netally.capture.interfaces import Interface, InterfaceCounters
from netally.capture.process_table import ProcessTable
from netally.contracts.codes import Mode
from tests.namespaces import ip

pytestmark = pytest.mark.root


async def test_an_interface_that_goes_is_noticed() -> None:
    if problem():
        assert find_mode().mode != Mode.EBPF
        return
    name = f"dm{uuid.uuid4().hex[:8]}"
    ip("link", "add", name, "type", "veth", "peer", f"{name}p")
    programs = InterfacePrograms()
    attribution = Attribution(FlowTable(), FlowNames(), ProcessTable(), None, first_ephemeral_port())
    try:
        ip("link", "set", name, "up")
        interface = Interface(
            1000, name, "veth", True, False, True, 0, 0, (), False, InterfaceCounters(0, 0, 0, 0)
        )  # fmt: skip
        watched = WatchedInterface(interface, programs, attribution, time.time)
        try:
            assert watched.is_bound()
            watched.follow(interface._replace(name="renamed"))
            assert watched.interface.name == "renamed"
            ip("link", "delete", name)
            assert not watched.is_bound()
        finally:
            watched.close()
        with pytest.raises(OSError, match="No such device"):
            WatchedInterface(interface, programs, attribution, time.time)
    finally:
        programs.close()
