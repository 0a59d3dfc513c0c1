"""``python -m netally.capture simulate``: publishes the traffic of hosts that do not exist, as their agents would.

In: a seed, a number of hosts, a clock. Out: batches (acknowledged by the stream, with their message ids), states and
live samples on the bus, and at the end what was sent and how far the bus lagged.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from netally.bus import streams, subjects
from netally.bus.credentials import BusSettings, read_access, service_inbox
from netally.capture.settings import Settings
from netally.capture.simulated_traffic import (
    DAY,
    MINUTES,
    MONTHS,
    Interval,
    SimulatedHost,
    batch,
    history,
    live_sample,
    make_fleet,
    report,
    sums,
)
from netally.contracts.flow import FlowsObserved
from netally.contracts.wire import ENCODING_HEADER, ZSTD, encode_batch, encode_json
from netally.telemetry.logging import configure_logging
from netally.telemetry.settings import SettingsError, load_settings

WINDOW: Final = 256
"""Batches under way at once."""
CONNECT_WITHIN: Final = 10.0
"""Seconds to find the bus."""
_PATIENCE: Final = 30.0
"""Seconds the bus may take no batch before the simulation gives up."""
_REPORT_EVERY: Final = 10
_LENGTH: Final = 5_000


class SimulationError(Exception):
    """It cannot go on; the message says why."""


class Summary(msgspec.Struct):
    """What was sent, and how the other side kept up. Written for programs by ``--summary FILE``."""

    hosts: int = 0
    batches: int = 0
    rows: int = 0
    bytes_sent: int = 0
    """Of batches, as they crossed the bus."""
    samples: int = 0
    begin: int = 0
    """Start of the first interval, epoch milliseconds."""
    end: int = 0
    """End of the last one."""
    lag_batches: int = 0
    """Most batches that waited in the stream at once."""
    lag_seconds: float = 0.0
    """Longest that a batch waited in the stream."""
    waiting: int = 0
    """Batches in the stream at the end."""
    host_bytes: dict[str, list[int]] = {}
    """Bytes in and out of each host, loopback left out."""


class Sender:
    """Batches to the stream, so many at a time; each is sent again until it is acknowledged."""

    def __init__(self, client: Client, summary: Summary) -> None:
        self._js = client.jetstream(timeout=5)
        self._client = client
        self._window = asyncio.Semaphore(WINDOW)
        self._tasks: set[asyncio.Task[None]] = set()
        self._summary = summary
        self._problem = ""

    async def send(self, made: FlowsObserved) -> None:
        """Returns when there is room for the next one. SimulationError when the bus takes nothing."""
        await self._window.acquire()
        if self._problem:
            raise SimulationError(self._problem)
        task = asyncio.create_task(self._publish(made))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(self, made: FlowsObserved) -> None:
        body = encode_batch(made)
        headers = {"Nats-Msg-Id": f"{made.host}/{made.epoch}/{made.sequence}", ENCODING_HEADER: ZSTD}
        deadline = time.monotonic() + _PATIENCE
        try:
            while True:
                try:
                    await self._js.publish(subjects.flows(made.host), body, headers=headers)
                    break
                except (nats.js.errors.Error, nats.errors.Error, OSError, TimeoutError) as error:
                    if time.monotonic() > deadline:
                        self._problem = f"the bus takes no batches: {error or type(error).__name__}"
                        return
                    await asyncio.sleep(0.2)
        finally:
            self._window.release()
        summary = self._summary
        summary.batches += 1
        summary.rows += len(made.records)
        summary.bytes_sent += len(body)
        summary.begin = min(summary.begin or made.start, made.start)
        summary.end = max(summary.end, made.start + (made.coverage.cut_ms or made.interval * 1000))
        sums([made], summary.host_bytes)

    async def all_acknowledged(self) -> None:
        """Wait for what is under way. SimulationError when some of it could not be sent."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        if self._problem:
            raise SimulationError(self._problem)

    async def tell(self, subject: str, body: bytes, *, stored: bool = False) -> None:
        """A state (stored) or a live sample; lost when the bus is away, as an agent's is."""
        with contextlib.suppress(nats.js.errors.Error, nats.errors.Error, OSError, TimeoutError):
            if stored:
                await self._js.publish(subject, body)
            else:
                await self._client.publish(subject, body)


class Agents:
    """The agents of a fleet: what they number, and when they started."""

    def __init__(self, fleet: list[SimulatedHost], now: int) -> None:
        self.fleet = fleet
        self.started_at = now
        self._epochs = {host.name: uuid.uuid4().hex for host in fleet}
        self._sequences: collections.Counter[str] = collections.Counter()

    def make(self, host: SimulatedHost, interval: Interval, months: bool, zone: ZoneInfo) -> FlowsObserved | None:
        """The next batch of a host; None while it is away."""
        rhythm = MONTHS if months else MINUTES
        made = batch(
            host,
            self.fleet,
            interval,
            rhythm,
            zone,
            epoch=self._epochs[host.name],
            sequence=self._sequences[host.name] + 1,
            # Months are many: the few rows stand for all.
            rows=0.3 if interval.length_ms > _LENGTH else 1.0,
        )
        self._sequences[host.name] += made is not None
        return made

    def state(self, host: SimulatedHost, now: int, months: bool) -> bytes:
        """What the agent says of itself, encoded."""
        return encode_json(
            report(
                host,
                MONTHS if months else MINUTES,
                time=now,
                started_at=self.started_at,
                epoch=self._epochs[host.name],
                sequence=self._sequences[host.name],
                interval=_LENGTH // 1000,
            )
        )


class Simulation:
    """One run. ``months``: pauses and absences of a year rather than of some minutes."""

    def __init__(self, client: Client, options: argparse.Namespace, zone: ZoneInfo) -> None:
        self.summary = Summary(hosts=options.hosts)
        self._client = client
        self._options = options
        self._zone = zone
        self._months = bool(options.history or options.since)
        self._stop = asyncio.Event()
        fleet = make_fleet(options.seed, options.hosts, options.prefix)
        self._agents = Agents(fleet, _now())
        self._sender = Sender(client, self.summary)
        self.summary.host_bytes = {host.name: [0, 0] for host in fleet}

    def stop(self) -> None:
        """Send what is made, then end."""
        self._stop.set()

    async def run(self) -> None:
        """SimulationError when the bus takes no batches."""
        watch = asyncio.create_task(self._watch_lag())
        try:
            await self._report()
            if self._months:
                await self._fill()
            if not self._options.fill_only:
                await self._live()
            await self._sender.all_acknowledged()
            await self._drained()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _report(self) -> None:
        for host in self._agents.fleet:
            state = self._agents.state(host, _now(), self._months)
            await self._sender.tell(subjects.agents(host.name), state, stored=True)

    async def _fill(self) -> None:
        """What is missing until now, oldest first, so that it goes over into what is happening."""
        since = json.loads(self._options.since.read_text("utf-8")) if self._options.since else {}
        begin = _now() - self._options.history * DAY
        done = {host.name: since.get(host.name) or begin // DAY * DAY for host in self._agents.fleet}
        told = reported = time.monotonic()
        while not self._stop.is_set():
            steps = history(min(done.values()), _now())
            if not steps:
                return
            for number, step in enumerate(steps):
                for host in self._agents.fleet:
                    if step.start < done[host.name]:
                        continue
                    done[host.name] = step.start + step.length_ms
                    if (made := self._agents.make(host, step, True, self._zone)) is not None:
                        await self._sender.send(made)
                if self._stop.is_set():
                    return
                if time.monotonic() - told > 5:
                    told = time.monotonic()
                    until = datetime.fromtimestamp(step.start / 1000, UTC)
                    _say(f"filled until {until:%Y-%m-%d %H:%M} UTC, {number / len(steps):.0%}")
                if time.monotonic() - reported > _REPORT_EVERY:
                    reported = time.monotonic()
                    await self._report()

    async def _live(self) -> None:
        """Intervals as they pass, on the second: samples while they last, their batches at their end."""
        minutes = self._options.minutes
        start = -(-_now() // _LENGTH) * _LENGTH
        end = start + int(minutes * 60_000) if minutes else None
        held: list[FlowsObserved] = []
        while not self._stop.is_set() and (end is None or start < end):
            made = [
                one
                for host in self._agents.fleet
                if (one := self._agents.make(host, Interval(start, _LENGTH), self._months, self._zone)) is not None
            ]
            for second in range(_LENGTH // 1000):
                await self._until(start + (second + 1) * 1000)
                if self._stop.is_set():
                    break
                for one in made:
                    await self._sender.tell(subjects.live(one.host), encode_json(live_sample(one, second)))
                    # What waits to be sent and acknowledged gets its turn as well.
                    await asyncio.sleep(0)
                await self._report_some(second, start)
            start += _LENGTH
            if self._stop.is_set():
                break
            held = await self._send_what_is_due(held + made, start)
        for one in held:
            await self._sender.send(one)

    async def _send_what_is_due(self, batches: list[FlowsObserved], now: int) -> list[FlowsObserved]:
        """Send but what a host cut off keeps; what it kept goes with its next, in order."""
        late = (
            {} if self._months else {host.name: MINUTES.late.holds(host.mark ^ 2, now) for host in self._agents.fleet}
        )
        kept = []
        for one in batches:
            if late.get(one.host):
                kept.append(one)
            else:
                await self._sender.send(one)
        return kept

    async def _report_some(self, second: int, start: int) -> None:
        """Each host's state every ten seconds, a tenth of them each second."""
        tenth = (start // 1000 + second) % _REPORT_EVERY
        for host in self._agents.fleet[tenth::_REPORT_EVERY]:
            state = self._agents.state(host, _now(), self._months)
            await self._sender.tell(subjects.agents(host.name), state, stored=True)

    async def _until(self, moment: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, (moment - _now()) / 1000)):
                await self._stop.wait()

    async def _watch_lag(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(1)

    async def _look(self) -> int:
        """Batches in the stream; the most of them and the oldest are kept."""
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError, KeyError, ValueError):
            answer = await self._client.request(f"$JS.API.STREAM.INFO.{streams.FLOWS}", b"", timeout=5)
            state = json.loads(answer.data)["state"]
            waiting = int(state["messages"])
            self.summary.lag_batches = max(self.summary.lag_batches, waiting)
            if waiting:
                oldest = datetime.fromisoformat(state["first_ts"][:19] + "+00:00")
                age = (datetime.now(UTC) - oldest).total_seconds()
                self.summary.lag_seconds = max(self.summary.lag_seconds, round(age, 1))
            self.summary.waiting = waiting
        return self.summary.waiting

    async def _drained(self) -> None:
        """Wait until the aggregator has taken everything, for as long as the stream gets shorter."""
        least, deadline = await self._look(), time.monotonic() + _PATIENCE
        while self.summary.waiting and time.monotonic() < deadline and not self._stop.is_set():
            await asyncio.sleep(0.2)
            if await self._look() < least:
                least, deadline = self.summary.waiting, time.monotonic() + _PATIENCE


def _now() -> int:
    return time.time_ns() // 1_000_000


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="netally simulate",
        description="Publish the traffic of hosts that do not exist through the bus, as their agents would: to see what"
        " a fleet costs before there is one. They stay in the history until they are purged.",
    )
    made.add_argument("--hosts", type=int, default=10, help="how many; of ten one NAS, three servers, six desktops")
    made.add_argument("--minutes", type=float, default=5.0, help="for so long; 0 is until Ctrl-C")
    made.add_argument("--seed", type=int, default=7, help="the same seed gives the same hosts and traffic")
    made.add_argument("--prefix", default="sim-", help="what their names begin with")
    made.add_argument("--history", type=int, default=0, metavar="DAYS", help="first fill so many days before now")
    made.add_argument("--since", type=Path, help="file with where each host's history ends: JSON, name to epoch ms")
    made.add_argument("--fill-only", action="store_true", help="end when the history is filled")
    made.add_argument("--summary", type=Path, help="also write the summary to this file, as JSON")
    return made


def main(arguments: list[str]) -> int:
    """Exit status: 0 when everything was taken, 1 when the bus did not, 130 after Ctrl-C."""
    options = parser().parse_args(arguments)
    if not 1 <= options.hosts <= 100_000 or options.minutes < 0 or not 0 <= options.history <= 3_650:
        return _fail("--hosts must be 1 to 100000, --minutes 0 or more, --history 0 to 3650 days")
    try:
        settings = load_settings(Settings)
        access = read_access(load_settings(BusSettings), service_inbox("simulate"))
    except SettingsError as error:
        return _fail(str(error))
    configure_logging("capture", "error")
    try:
        return asyncio.run(_main(options, settings.nats_url, access.options()))
    except SimulationError as error:
        return _fail(str(error))


async def _main(options: argparse.Namespace, url: str, access: dict[str, Any]) -> int:
    client = Client()
    try:
        # Alone it would go on trying for ever.
        async with asyncio.timeout(CONNECT_WITHIN):
            await client.connect(
                [one.strip() for one in url.split(",")],
                name="netally-simulate",
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                connect_timeout=3,
                error_cb=_ignore,
                **access,
            )
    except (nats.errors.Error, OSError) as error:
        raise SimulationError(
            f"no connection to the bus: {error or type(error).__name__}. Is Netally running, and does NETALLY_NATS_URL "
            "name its bus?"
        ) from None
    simulation = Simulation(client, options, ZoneInfo("UTC"))
    stopped = []

    def stop(number: int) -> None:
        stopped.append(number)
        simulation.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        await simulation.run()
    finally:
        await client.close()
    summary = simulation.summary
    if options.summary:
        options.summary.write_bytes(msgspec.json.encode(summary))
    for line in words(summary):
        _say(line)
    return 130 if stopped else 1 if summary.waiting else 0


async def _ignore(_: Exception) -> None:
    """Reconnecting goes on by itself; what cannot be sent says so."""


def words(summary: Summary) -> Iterator[str]:
    """The summary for people."""
    yield (
        f"{summary.hosts:,} hosts: {summary.batches:,} batches acknowledged, {summary.rows:,} rows, "
        f"{summary.bytes_sent:,} bytes over the bus"
    )
    yield f"the bus lagged by {summary.lag_seconds:.1f} s and {summary.lag_batches:,} batches at most"
    if summary.waiting:
        yield f"{summary.waiting:,} batches wait in the bus: the aggregator does not keep up, or does not run"


def _fail(reason: str) -> int:
    sys.stderr.write(f"netally: {reason}\n")
    return 1
