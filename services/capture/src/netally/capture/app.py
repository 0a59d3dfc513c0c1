"""The agent put together: sources fill the flow table, intervals cut it into batches, the publisher brings them out."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import os
import signal
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Final, NamedTuple

import msgspec
import structlog
from nats.aio.msg import Msg

from netally.bus import subjects
from netally.bus.credentials import BusAccess, BusSettings, host_inbox, read_access
from netally.capture import metrics, privileges
from netally.capture.attribution import Attribution, first_ephemeral_port
from netally.capture.capture_mode import CaptureMode, find_mode
from netally.capture.cbpf import ETHERNET_HEADER
from netally.capture.ebpf.programs import Programs
from netally.capture.ebpf.source import KernelCounts
from netally.capture.flow_names import FlowNames
from netally.capture.flow_records import Part, make_records, split
from netally.capture.flow_table import FlowTable
from netally.capture.interfaces import InterfaceCounters, address_text
from netally.capture.interval import Interval, following, interval_at
from netally.capture.live import take_sample
from netally.capture.naming_rules import Rename, as_found, parse_rules
from netally.capture.packet_ring import BLOCK_TIMEOUT_MS
from netally.capture.priority import Priority
from netally.capture.publisher import Publisher
from netally.capture.settings import Settings
from netally.capture.settings_follow import SettingsFollower, remember, remembered
from netally.capture.site_pairs import SitePairs
from netally.capture.sources import NOTHING, Sources
from netally.capture.spool import Spool
from netally.capture.system import open_system
from netally.capture.tally import (
    NOTHING_PASSED,
    Carried,
    Measured,
    counter_delta,
    measured_rows,
    paused_rows,
    tally_rows,
)
from netally.contracts.agent import AgentReported, InterfaceState
from netally.contracts.codes import Mode
from netally.contracts.flow import BATCH_VERSION, Coverage, FlowsObserved
from netally.contracts.live_settings import HostSettings
from netally.contracts.tabs import TabsReported
from netally.contracts.wire import UndecodableError, decode_json
from netally.telemetry.logging import configure_logging, log_level, set_log_level
from netally.telemetry.probes import serve_probes
from netally.telemetry.settings import SettingsError, load_settings

REPORT_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = BLOCK_TIMEOUT_MS / 1000 + 0.05
"""After an interval's end, until the kernel has handed over its last packets."""
FINISH_SECONDS: Final = 3.0

log = structlog.get_logger()


class StartError(Exception):
    """The agent cannot start; the message says why and what to do."""


class _Portion(msgspec.Struct):
    """How much of an interval was spooled already: it is cut in between when capture pauses or goes on."""

    began: float
    """Monotonic time at which the portion under way began."""
    measured: float = 0.0
    """Seconds of the interval that were captured."""
    first_part: int = 0
    was_paused: bool = False
    is_last: bool = True
    cut_ms: int = 0
    """When the interval was cut short, milliseconds after its start."""


class _Held(NamedTuple):
    due: float
    """Monotonic time."""
    start: float
    """Of the interval, epoch seconds."""
    batches: list[FlowsObserved]


class Agent:
    """Everything that runs, from `run` to its end."""

    def __init__(self, settings: Settings, access: BusAccess, spool: Spool, mode: CaptureMode) -> None:
        self._settings = settings
        self._host = settings.host_name
        self._spool = spool
        self._mode = mode
        self._started_at = round(time.time() * 1000)
        self._version = version("netally-capture")
        # One thread for the disk: a slow disk must not stop the reading of packets.
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._publisher = Publisher(settings.nats_url, spool, self._disk, access)
        self._priority = Priority()
        self._system = open_system(kernel_tells=mode.mode == Mode.EBPF)
        self._table = FlowTable(settings.flow_limit)
        self._names = FlowNames(is_local=self._is_local)
        self._processes = self._system.processes
        self._attribution = Attribution(
            self._table,
            self._names,
            self._processes,
            self._system.sockets,
            first_ephemeral_port(),
            self._system.namespaces,
        )
        self._own: set[bytes] = set()
        self._programs = Programs(self._processes)
        self._sources = Sources(
            self._table,
            self._attribution,
            self._system.sockets,
            wanted=settings.interface_names,
            packets=mode.mode == Mode.PACKETS,
            clock=time.time,
            kernel=self._open_kernel() if mode.mode == Mode.EBPF else None,
            open_source=self._system.open_source,
        )
        self._counters: dict[int, InterfaceCounters] = {}
        self._sites = SitePairs()
        self._held: deque[_Held] = deque()
        """Intervals that wait for what browsers tell of them, oldest first."""
        self._stop = asyncio.Event()
        self._woken = asyncio.Event()
        """Something came that does not wait for the interval's end: a signal, or other settings."""
        self._started_level = log_level()
        self._follower = SettingsFollower(
            self._host,
            self._heard,
            self._forget,
            remembered(settings.followed_path),
            {subjects.tabs(self._host): self._hear_tabs},
        )
        self._rename: Rename = as_found
        """By the naming rules that are followed."""
        self._followed = HostSettings()
        """The settings that are in force."""
        self._publisher.on_connected = self._follower.connected.set

    def _open_kernel(self) -> KernelCounts:
        self._attribution.kernel_tells = True
        return KernelCounts(self._table, self._attribution, self._programs, time.time)

    def _is_local(self, address: bytes) -> bool:
        return address in self._own or (len(address) == 4 and address[0] == 127)

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; then what was counted is cut, spooled and sent as far as three seconds go."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        probes = None
        if self._settings.capture_port:
            probes = await serve_probes(self._settings.capture_port, self.waiting_for, host=self._settings.probe_bind)
        try:
            self._follow(self._follower.current)
            self._refresh_interfaces()
            # Once more: what passed before the rings were open is not measured.
            self._refresh_interfaces()
            self._counters = {each.ifindex: each.counters for each in self._sources.interfaces}
            self._sources.at_boundary(time.time())
            self._sources.read()
            self._attribution.sweep(time.time(), force=True)
            log.info(
                "capturing", mode=self._mode.mode.label, interfaces=[each.name for each in self._sources.captured],
                host=self._host,
            )  # fmt: skip
            gc.freeze()
            if self._mode.mode in (Mode.EBPF, Mode.PACKETS):
                self._priority.begin()
            # Nothing that strangers sent was parsed until here.
            privileges.give_up(self._mode.mode, self._settings.spool_path.parent)
            publishing = asyncio.create_task(self._publisher.run())
            beating = asyncio.create_task(self._beat())
            following = asyncio.create_task(self._follower.run(lambda: self._publisher.client))
            try:
                await self._cut_intervals()
            finally:
                await _end(following)
                await _end(beating)
                await _end(publishing)
            await self._spool_held(everything=True)
            await self._publisher.report(self._state())
            await self._publisher.finish(FINISH_SECONDS)
        finally:
            self._sources.close()
            self._system.close()
            if probes is not None:
                probes.close()
            self._disk.shutdown()

    def waiting_for(self) -> Mapping[str, str]:
        """Parts that are not ready, for /readyz."""
        problems = {}
        if self._publisher.problem:
            problems["bus"] = self._publisher.problem
        if self._spool.problem:
            problems["spool"] = self._spool.problem
        if not self._sources.captured:
            problems["interfaces"] = "no interface to capture yet"
        return problems

    # --- settings that change -----------------------------------------------------------------------------------

    @property
    def _length(self) -> int:
        """Seconds of an interval, as it is wanted now."""
        return self._follower.current.interval or self._settings.interval

    def _end(self) -> None:
        self._stop.set()
        self._woken.set()

    def _heard(self, wanted: HostSettings) -> None:
        self._woken.set()
        self._disk.submit(remember, self._settings.followed_path, wanted)

    def _follow(self, wanted: HostSettings) -> None:
        self._sources.pause(paused=wanted.paused)
        set_log_level(wanted.log_level or self._started_level)
        self._follow_rules(wanted.naming_rules)
        self._followed = wanted

    def _follow_rules(self, rules: str) -> None:
        if rules != self._followed.naming_rules:
            try:
                self._rename = parse_rules(rules)
            except ValueError as error:
                log.warning("naming rules cannot be followed", reason=str(error))

    def _forget(self, caches: Sequence[str]) -> dict[str, int]:
        """Drop caches, all when none is named; what is still open is looked up anew at once."""
        known = {"processes": self._forget_processes, "names": self._names.forget}
        dropped = {name: forget() for name, forget in known.items() if not caches or name in caches}
        if "processes" in dropped:
            self._attribution.sweep(time.time(), force=True)
        return dropped

    def _forget_processes(self) -> int:
        return self._processes.forget() + self._programs.forget()

    # --- intervals ----------------------------------------------------------------------------------------------

    async def _cut_intervals(self) -> None:
        interval = interval_at(time.time(), time.monotonic(), self._length)
        portion = _Portion(began=interval.began)
        ending = False
        while not ending:
            await self._wait(interval.ends - time.monotonic())
            # Asked here only: a signal that comes during the lines below finds packets behind the boundary, which need
            # a cut of their own.
            ending = self._stop.is_set()
            wanted, paused, length = self._follower.current, self._followed.paused, self._length
            now = time.monotonic()
            over = now >= interval.ends
            if not (ending or over or wanted.paused != paused or length != interval.length):
                self._follow(wanted)
                continue
            if not paused:
                portion.measured += min(now, interval.ends) - portion.began
            portion.was_paused |= paused
            portion.is_last = ending or over or length != interval.length
            if length != interval.length:
                upcoming = interval_at(time.time(), now, length)
                if not over:
                    portion.cut_ms = min(max(round((time.time() - interval.start) * 1000), 1), interval.length * 1000)
            else:
                upcoming = following(interval, time.time(), now) if over else interval
            if interval.stepped(time.time(), now):
                self._table.shift(interval.drift(time.time(), now))
            if paused and not wanted.paused:
                # Before the boundary: what is stamped later counts, what is stamped earlier goes with this cut.
                self._sources.pause(paused=False)
            # The interface counters are read now; packets stamped later are held back from this cut. Those stamped
            # before are in the ring still, up to the time a block may take.
            self._table.boundary = time.time()
            carried = self._carry()
            self._sources.at_boundary(self._table.boundary)
            await asyncio.sleep(SETTLE_SECONDS)
            self._sources.read()
            parts = await self._spool_interval(interval, portion, carried, paused=paused)
            began = upcoming.began if upcoming is not interval else now
            if portion.is_last:
                portion = _Portion(began=began)
            else:
                portion.began, portion.first_part = began, portion.first_part + parts
            if wanted != self._followed:
                self._follow(wanted)
                await self._publisher.report(self._state())
            interval = upcoming

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._woken.wait()
        self._woken.clear()

    def _carry(self) -> dict[int, InterfaceCounters]:
        """What each captured interface counted since the last call."""
        before = self._counters
        self._refresh_interfaces()
        self._counters = {each.ifindex: each.counters for each in self._sources.interfaces}
        return {
            each.ifindex: counter_delta(before.get(each.ifindex, each.counters), each.counters)
            for each in self._sources.captured
        }

    def _refresh_interfaces(self) -> None:
        try:
            interfaces = self._system.read_interfaces()
        except OSError as error:
            log.warning("interfaces cannot be listed", error=error.strerror)
            return
        self._own = {address for each in interfaces for address in each.addresses}
        self._attribution.own_addresses = self._own
        self._sources.refresh(interfaces)

    async def _spool_interval(
        self, interval: Interval, portion: _Portion, carried: dict[int, InterfaceCounters], *, paused: bool
    ) -> int:
        """Parts spooled."""
        now = time.time()
        if paused:
            self._table.cut(now)
        else:
            self._attribution.sweep(now)
            self._attribution.settle(now)
        cut = self._table.cut(now)
        records = make_records(
            self._table,
            cut,
            self._attribution.listening,
            self._sources.loopbacks,
            self._sources.addresses,
            self._rename,
        )
        self._table.forget_idle(now)
        odd = self._sources.take_odd()
        interfaces = [each for each in self._sources.captured if each.ifindex in carried]
        if paused:
            tally = paused_rows({each.ifindex: (each.name, carried[each.ifindex]) for each in interfaces})
        elif self._mode.mode == Mode.EBPF:
            passed = self._sources.passed
            tally = measured_rows(
                {
                    each.ifindex: Measured(
                        each.name,
                        carried[each.ifindex],
                        passed.get(each.ifindex, NOTHING_PASSED),
                        link_header=ETHERNET_HEADER if each.ethernet and not each.loopback else 0,
                    )
                    for each in interfaces
                },
                records.causes,
            )
        else:
            tally = tally_rows(
                {
                    each.ifindex: Carried(
                        each.name,
                        carried[each.ifindex],
                        odd.get(each.ifindex, NOTHING),
                        link_header=ETHERNET_HEADER if each.ethernet else 0,
                        every_packet=self._mode.mode == Mode.PACKETS,
                    )
                    for each in interfaces
                },
                records.causes,
            )
        parts = split(records)
        measured_ms = round(min(max(portion.measured, 0.0), interval.length) * 1000)
        # One more is to come where the interval goes on.
        count = portion.first_part + len(parts) + (not portion.is_last)
        batches = [
            FlowsObserved(
                version=BATCH_VERSION,
                host=self._host,
                epoch="",
                sequence=0,
                start=interval.start * 1000,
                interval=interval.length,
                apps=part.apps,
                domains=part.domains,
                records=part.records,
                coverage=Coverage(int(self._mode.mode), measured_ms, number, count, portion.was_paused, portion.cut_ms),
                tally=tally if number == portion.first_part + len(parts) - 1 else [],
            )
            for number, part in enumerate(parts, portion.first_part)
        ]
        hold = self._sites.hold_seconds(now)
        self._held.append(_Held(time.monotonic() + hold, interval.start, batches))
        await self._spool_held()
        metrics.INTERVALS.inc()
        metrics.RECORDS.inc(len(records.records))
        metrics.FLOWS.set(len(self._table))
        metrics.COLLISIONS.set(self._table.collisions)
        metrics.PROCESS_MISSES.set(self._processes.misses)
        metrics.SPOOL_BATCHES.set(self._spool.batches)
        metrics.SPOOL_BYTES.set(self._spool.bytes)
        metrics.SPOOL_LOST.set(self._spool.lost_batches)
        return len(parts)

    async def _spool_held(self, *, everything: bool = False) -> None:
        """Spool the intervals whose time has come, in their order."""
        while self._held and (everything or self._held[0].due <= time.monotonic()):
            held = self._held.popleft()
            batches = [self._with_sites(batch, held.start) for batch in held.batches]
            await asyncio.get_running_loop().run_in_executor(self._disk, self._spool.append, batches, time.time())
            self._publisher.wake()

    def _with_sites(self, batch: FlowsObserved, start: float) -> FlowsObserved:
        joined = self._sites.join(Part(batch.apps, batch.domains, batch.records), start)
        return msgspec.structs.replace(batch, domains=joined.domains, records=joined.records)

    async def _hear_tabs(self, message: Msg) -> None:
        try:
            self._sites.heard(decode_json(message.data, TabsReported), time.time())
        except UndecodableError as error:
            log.warning("report of a browser cannot be understood", reason=str(error))

    # --- every second -------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Live sample and sweep each second, the agent's state every ten and when it changes."""
        last, reported_at, reported = time.monotonic(), float("-inf"), None
        while True:
            await asyncio.sleep(1.0 - time.time() % 1.0)
            if self._mode.mode in (Mode.EBPF, Mode.PACKETS):
                self._priority.adjust()
            self._sources.read()
            now = time.time()
            self._attribution.sweep(now)
            await self._spool_held()
            monotonic = time.monotonic()
            sample = take_sample(
                self._table,
                self._attribution.listening,
                self._sources.loopbacks,
                host=self._host,
                time_ms=round(now * 1000),
                span_ms=round((monotonic - last) * 1000),
                rename=self._rename,
            )
            last = monotonic
            if not self._followed.paused:
                await self._publisher.live(sample)
            state = self._state()
            identity = (
                state.mode, state.mode_reason, state.interval, state.paused, state.settings_version,
                tuple(each.name for each in state.interfaces),
            )  # fmt: skip
            due = identity != reported or monotonic - reported_at >= REPORT_SECONDS
            if due and await self._publisher.report(state):
                reported_at, reported = monotonic, identity

    def _state(self) -> AgentReported:
        reason = self._mode.reason
        if self._sources.missing:
            names = ", ".join(self._sources.missing)
            reason = f"{reason}; " if reason else ""
            reason += f"NETALLY_INTERFACES names {names}, which cannot be captured now"
        crowd = self._sources.crowd
        if crowd is not None:
            reason = f"{reason}; " if reason else ""
            reason += (
                f"too many connections to attribute: {crowd.summed} openings are told by program and port only, "
                f"{crowd.lost} packets without a program"
            )
        captured = {each.ifindex for each in self._sources.captured}
        return AgentReported(
            host=self._host,
            time=round(time.time() * 1000),
            version=self._version,
            started_at=self._started_at,
            mode=self._mode.mode.label,
            mode_reason=reason,
            interval=self._followed.interval or self._settings.interval,
            paused=self._followed.paused,
            interfaces=[
                InterfaceState(
                    each.name, [address_text(address) for address in each.addresses], each.ifindex in captured
                )
                for each in self._sources.interfaces
            ],
            epoch=self._spool.epoch,
            sequence=self._spool.sequence,
            spool_batches=self._spool.batches,
            spool_bytes=self._spool.bytes,
            lost_batches=self._spool.lost_batches,
            ring_drops=self._sources.drops,
            settings_version=self._followed.version,
        )


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel for good: before Python 3.12 `asyncio.wait_for` may swallow a cancellation, and the bus client uses it."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)
    if not task.cancelled() and task.exception() is not None:
        log.error("part of the agent had failed", error=repr(task.exception()))


def _open_spool(settings: Settings) -> Spool:
    path = settings.spool_path
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_name("lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        # Held until the process ends, however it ends.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Spool(path, max_bytes=settings.spool_max_bytes, max_age=settings.spool_max_days * 86_400.0)
    except BlockingIOError:
        raise StartError(f"another agent uses {path.parent}; stop it or set NETALLY_DATA_DIR") from None
    except OSError as error:
        raise StartError(f"cannot write to {path.parent}: {error.strerror}; set NETALLY_DATA_DIR") from None
    except sqlite3.Error as error:
        raise StartError(f"cannot open {path}: {error}") from None


async def _run(settings: Settings, access: BusAccess) -> None:
    spool = _open_spool(settings)
    try:
        mode = find_mode(settings.capture_mode)
        if mode.mode == Mode.NONE:
            raise StartError(f"nothing can be captured here: {mode.reason}. {mode.advice}")
        if mode.reason:
            log.warning("capture is limited", reason=mode.reason, advice=mode.advice)
        await Agent(settings, access, spool, mode).run()
    finally:
        spool.close()


def main() -> int:
    """Start the agent; the exit code."""
    try:
        settings = load_settings(Settings)
        settings.check()
        access = read_access(load_settings(BusSettings), host_inbox(settings.host_name))
        configure_logging("capture", settings.log_level)
        asyncio.run(_run(settings, access))
    except (SettingsError, StartError) as error:
        sys.stderr.write(f"netally capture: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"netally capture: cannot start: {error}\n")
        return 2
    return 0
