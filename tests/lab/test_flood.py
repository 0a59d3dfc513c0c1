"""Openings faster than anybody could tell them apart: totals stay right, the cost bounded, and it is said."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from netally.capture.ebpf.kernel_programs import problem
from netally.contracts.codes import Cause
from tests.capture_box import box, metric
from tests.services import wait_until

pytestmark = pytest.mark.root
COUNT = 60_000
LISTEN = (
    "import signal, socket; s = socket.create_server(('', 7777), backlog=1); print('ready', flush=True); signal.pause()"
)


def seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_flood_of_openings() -> None:
    with box() as machine:
        machine.start_agent(NETALLY_CAPTURE_MODE="")
        assert machine.agent is not None
        server = machine.here.start(sys.executable, "-S", "-E", "-c", LISTEN)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        mac = machine.here.run("cat", f"/sys/class/net/{machine.here.interface}/address").strip().replace(":", "")
        before, spent = machine.here.counters(), seconds_of(machine.agent.pid)
        machine.world.run(
            *(sys.executable, "tests/peers/syn_flood.py", machine.world.interface, mac, "10.9.0.0/24"),
            *(machine.here.ipv4, "7777", str(COUNT), "50000"),
        )
        if not problem():
            wait_until(lambda: "too many connections to attribute" in machine.ask("agent")[-1]["mode_reason"])
        until = metric(machine, "netally_capture_intervals_total") + 3
        wait_until(lambda: metric(machine, "netally_capture_intervals_total") >= until, within=20)
        spent = seconds_of(machine.agent.pid) - spent
        after = machine.here.counters()
        machine.stop_agent()
        batches = machine.batches()
    causes: dict[str, int] = {}
    for batch in batches:
        for row in batch["tally"]:
            if row["interface"] == machine.here.interface:
                word = Cause(row["cause"]).label
                causes[word] = causes.get(word, 0) + row["bytes_in"]
    carried = after["rx_bytes"] - before["rx_bytes"]
    assert carried > COUNT * 54
    assert sum(causes.values()) == pytest.approx(carried, rel=0.01)
    assert abs(causes.get("unknown", 0)) <= 0.001 * carried
    # What has no program has that cause; every opening that was counted is there.
    records = sum(row["bytes_in"] for batch in batches for row in batch["records"] if row["server_port"] == 7777)
    assert records + causes.get("lost_map", 0) + causes.get("kernel", 0) >= COUNT * 40
    assert spent < 2.5
