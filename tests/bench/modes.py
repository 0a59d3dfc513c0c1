"""What an agent costs in mode ebpf and in mode packets, the same traffic for both (root only).

Real sockets of programs beside the agent send over a veth pair with segmentation offload: TCP at 1 Gbit/s; 10,000
datagrams a second, of 20 flows and of 2,000. The agent cuts an interval each 5 seconds and publishes to a bus. CPU is
the whole agent process's. What the kernel's programs take is by the kernel's own clock (kernel.bpf_stats_enabled); it
is charged to whoever sends or receives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from netally.capture.ebpf.kernel_programs import problem
from tests.capture_box import Box, box
from tests.namespaces import REPOSITORY

PORT = "9100"
SECONDS = 10
STATISTICS = Path("/proc/sys/kernel/bpf_stats_enabled")


class Load(NamedTuple):
    words: str
    arguments: tuple[str, ...]
    """Of `tests.peers.steady_traffic`."""
    budget: float
    """Share of a core that mode ebpf may need."""


LOADS = (
    Load("TCP 1 Gbit/s with segmentation offload", ("stream", "1000000000"), 0.01),
    Load("10,000 packets/s of 20 flows", ("datagrams", "10000", "20", "64"), 0.005),
    Load("10,000 packets/s of 2,000 flows", ("datagrams", "10000", "2000", "64"), 0.0),
)


class Cost(NamedTuple):
    share: float
    """Of a core."""
    resident: float
    """MiB after it."""
    runs: int
    """Of programs in the kernel."""
    run_seconds: float
    seconds: float
    sent: int


def seconds_of(pid: int) -> float:
    """CPU seconds of a process by its own clock, to the nanosecond (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


def kernel_runs(pid: int) -> tuple[int, float]:
    """(runs, seconds) of the programs that a process has loaded (fdinfo, proc(5))."""
    programs: dict[str, tuple[int, int]] = {}
    for each in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):
            fields = dict(line.split(":\t", 1) for line in each.read_text("ascii").splitlines() if ":\t" in line)
            # A link tells its program's number too.
            if "run_cnt" in fields:
                programs[fields["prog_id"]] = int(fields["run_cnt"]), int(fields["run_time_ns"])
    return sum(runs for runs, _ in programs.values()), sum(spent for _, spent in programs.values()) / 1e9


@contextlib.contextmanager
def statistics() -> Iterator[None]:
    """The kernel takes the time of programs."""
    before = STATISTICS.read_text("ascii")
    STATISTICS.write_text("1")
    try:
        yield
    finally:
        STATISTICS.write_text(before)


@contextlib.contextmanager
def sender(machine: Box, load: Load) -> Iterator[subprocess.Popen[str]]:
    kind, *rest = load.arguments
    with subprocess.Popen(
        machine.here.command(
            *(sys.executable, "-m", "tests.peers.steady_traffic", kind, machine.world.ipv4, PORT, *rest),
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def send(process: subprocess.Popen[str], seconds: float) -> tuple[int, float]:
    """(bytes or packets, seconds) that were sent."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"go {seconds}\n")
    process.stdin.flush()
    sent, took = process.stdout.readline().split()
    return int(sent), float(took)


def measured(machine: Box, load: Load) -> Cost:
    assert machine.agent is not None
    pid = machine.agent.pid
    with sender(machine, load) as process:
        # What is new costs once.
        send(process, 2)
        spent, (runs, run_seconds) = seconds_of(pid), kernel_runs(pid)
        sent, seconds = send(process, SECONDS)
        spent = seconds_of(pid) - spent
        runs_after, run_seconds_after = kernel_runs(pid)
        resident = psutil.Process(pid).memory_info().rss / 1024**2
    return Cost(spent / seconds, resident, runs_after - runs, run_seconds_after - run_seconds, seconds, sent)


def costs(mode: str) -> list[Cost]:
    with box(offload=True) as machine:
        machine.world.serve("steady_traffic", "sink", PORT)
        # Compiled as `make install` does it: a program that compiles itself needs memory for that.
        environment = {"PYTHONPYCACHEPREFIX": str(machine.directory / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(2):
            if machine.agent is not None:
                machine.stop_agent()
            machine.start_agent(NETALLY_CAPTURE_MODE=mode, NETALLY_INTERVAL="5", **environment)
        assert machine.ask("agent")[0]["mode"] == mode
        found = [measured(machine, load) for load in LOADS]
        machine.stop_agent()
    return found


async def measure() -> list[dict[str, Any]]:
    """Lines of the bench table: name, value, unit, against, ratio, workload."""
    if os.geteuid() or problem():
        return []
    with statistics():
        ours = await asyncio.to_thread(costs, "ebpf")
    theirs = await asyncio.to_thread(costs, "packets")
    lines: list[dict[str, Any]] = []
    for load, cost, other in zip(LOADS, ours, theirs, strict=True):
        workload = f"{load.words}, {cost.sent} sent in {cost.seconds:.0f} s"
        budget = f", budget {load.budget}" if load.budget else ""
        for name, value, unit, against, ratio in (
            (
                "share of a core",
                round(cost.share, 4),
                "cores",
                f"packets, {other.share:.4f}{budget}",
                round(other.share / cost.share, 2),
            ),
            ("kernel's programs", round(cost.run_seconds / cost.seconds, 4), "cores", None, None),
            ("kernel's programs, each run", round(cost.run_seconds / cost.runs * 1e9), "ns", f"{cost.runs} runs", None),
            (
                "resident memory",
                round(cost.resident, 1),
                "MiB",
                f"packets, {other.resident:.1f}, budget 55",
                round(other.resident / cost.resident, 2),
            ),
        ):
            lines.append(
                {
                    "name": f"mode ebpf: {load.words}, {name}",
                    "value": value,
                    "unit": unit,
                    "against": against,
                    "ratio": ratio,
                    "workload": workload,
                }
            )
    return lines
