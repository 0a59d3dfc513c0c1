"""``make soak``: an agent under steady traffic for an hour (``SOAK_SECONDS``), its resources sampled; ends with 1 when
they are not flat.

Traffic is of short connections of ever new programs, of lasting ones, and of datagrams from ever new sockets, at a low
rate (``SOAK_RATE``, a second): what would grow by any of them grows.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

import psutil

from netally.capture.ebpf.kernel_programs import problem
from tests.capture_box import Box, box, metric
from tests.namespaces import REPOSITORY
from tests.services import wait_until

PORT = "9100"
MIB = 1024 * 1024


class Sample(NamedTuple):
    resident: float
    """MiB."""
    descriptors: float
    threads: float
    map_fill: float
    """Share of the kernel's map of connections; 0 outside of mode ebpf."""
    share: float
    """Of a core, since the sample before."""


# What the median of the last third may have above that of the middle one, and any sample at all.
GROWTH = Sample(resident=2.0, descriptors=2.0, threads=1.0, map_fill=0.02, share=0.02)
MOST = Sample(resident=80.0, descriptors=200.0, threads=20.0, map_fill=0.5, share=0.5)


def growing(samples: Sequence[Sample]) -> list[str]:
    """What is not flat, in words. The first third is left out: what is seen once is remembered."""
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[2 * third :]
    found = []
    for name, growth, most in zip(Sample._fields, GROWTH, MOST, strict=True):
        before, after = (median(getattr(each, name) for each in part) for part in (middle, last))
        if after - before > growth:
            found.append(f"{name} grows: {before:.3f}, then {after:.3f}")
        highest = max(getattr(each, name) for each in samples)
        if highest > most:
            found.append(f"{name} reaches {highest:.3f}, which is more than {most}")
    return found


def soak(seconds: float, rate: float, every: float) -> list[Sample]:
    """Samples of an agent in the best mode that there is. ``rate`` is in connections a second."""
    with box() as machine:
        machine.world.serve("steady_traffic", "sink", PORT)
        machine.start_agent(NETALLY_CAPTURE_MODE="")
        assert machine.ask("agent")[-1]["mode"] == ("packets" if problem() else "ebpf")
        assert machine.agent is not None
        process = psutil.Process(machine.agent.pid)
        samples: list[Sample] = []
        with traffic(machine, rate):
            begun = time.monotonic()
            spent, at = sum(process.cpu_times()[:2]), begun
            while at < begun + seconds:
                wanted = at + every
                wait_until(lambda due=wanted: time.monotonic() >= due, within=every + 10, every=0.2)  # type: ignore[misc]
                now, used = time.monotonic(), sum(process.cpu_times()[:2])
                samples.append(
                    Sample(
                        process.memory_info().rss / MIB,
                        process.num_fds(),
                        process.num_threads(),
                        metric(machine, "netally_capture_map_fill_ratio"),
                        (used - spent) / (now - at),
                    )
                )
                spent, at = used, now
        machine.stop_agent()
        # What it was flat about.
        assert sum(len(batch["records"]) for batch in machine.batches()) > seconds
    return samples


@contextlib.contextmanager
def traffic(machine: Box, rate: float) -> Iterator[None]:
    with subprocess.Popen(
        machine.here.command(
            *(sys.executable, "-m", "tests.peers.coming_and_going", machine.world.ipv4, PORT, str(rate)),
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
            assert process.poll() is None, "the traffic ended early"
        finally:
            process.kill()


def main() -> int:
    seconds, rate = float(os.environ.get("SOAK_SECONDS", "3600")), float(os.environ.get("SOAK_RATE", "20"))
    samples = soak(seconds, rate, max(seconds / 120, 1.0))
    print("  ".join(f"{name:>12}" for name in ("minute", *Sample._fields)))
    for number in range(0, len(samples), max(len(samples) // 12, 1)):
        minute = (number + 1) * seconds / 60 / len(samples)
        print("  ".join(f"{value:>12.3f}" for value in (minute, *samples[number])))
    problems = growing(samples)
    print(f"{seconds / 60:.0f} minutes at {rate:.0f} connections/s: {'; '.join(problems) or 'flat'}")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
