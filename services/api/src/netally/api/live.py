"""Rates and movers from the live samples of the hosts. Pure: samples and the time go in, figures come out.

A rate is bytes of the last five seconds by the five seconds, measured back from the host's newest sample; null while
less than that is known, and when the host has been silent for longer than `AWAY_MS`.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from netally.api.live_view import EVERYTHING, Lens
from netally.contracts.agent import LiveSample
from netally.contracts.queries import Bandwidth, HostBandwidth, Mover

WINDOW_MS: Final = 5_000
KNOWN_MS: Final = 4_500
"""So much of the window must be measured for a rate; samples are not cut to the millisecond."""
AWAY_MS: Final = 5_000
MINUTE_MS: Final = 60_000
HISTORY_SECONDS: Final = 60
CLOCK_STEP_MS: Final = 2_000
"""A larger jump between a host's clock and ours starts that host anew."""
LONGEST_SPAN_MS: Final = 60_000
FORGET_MS: Final = 3_600_000
"""A host silent for so long is no longer listed."""


class _Span(NamedTuple):
    """Bytes of ``[start, end)``, in this process's clock."""

    start: int
    end: int
    bytes_in: int
    bytes_out: int


class _Mover:
    __slots__ = ("bytes_in", "bytes_out", "remote", "spans")

    def __init__(self) -> None:
        self.remote = ""
        self.spans: deque[_Span] = deque()
        self.bytes_in = 0
        self.bytes_out = 0


class _Second:
    """What is known of one second of the wall clock."""

    __slots__ = ("bytes_in", "bytes_out", "covered_ms")

    def __init__(self) -> None:
        self.bytes_in = self.bytes_out = 0.0
        self.covered_ms = 0


class _Host:
    __slots__ = ("delay", "movers", "received_at", "seconds", "spans", "time")

    def __init__(self, delay: int) -> None:
        self.delay = delay
        """Our clock minus the host's, with the shortest way a sample took."""
        self.received_at = 0
        self.time = 0
        self.spans: deque[_Span] = deque(maxlen=32)
        self.seconds: dict[int, _Second] = {}
        self.movers: dict[tuple[str, str, str], _Mover] = {}


def _within(spans: Iterable[_Span], start: int, end: int) -> tuple[float, float, int]:
    """Bytes in, bytes out and covered milliseconds of ``[start, end)``; ``spans`` newest first."""
    bytes_in = bytes_out = 0.0
    covered = 0
    for span in spans:
        overlap = min(span.end, end) - max(span.start, start)
        if overlap <= 0:
            if span.end <= start:
                break
            continue
        share = overlap / (span.end - span.start)
        bytes_in += span.bytes_in * share
        bytes_out += span.bytes_out * share
        covered += overlap
    return bytes_in, bytes_out, covered


class LiveTraffic:
    """The last minute of every host."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Host] = {}

    def add(self, sample: LiveSample, now: int) -> bool:
        """Take a sample received at ``now`` (epoch ms); False when it is no use (impossible figures, or repeated)."""
        if not 0 < sample.span_ms <= LONGEST_SPAN_MS or sample.bytes_in < 0 or sample.bytes_out < 0:
            return False
        delay = now - sample.time
        host = self._hosts.get(sample.host)
        if host is None or abs(delay - host.delay) > CLOCK_STEP_MS or now - host.received_at > MINUTE_MS:
            host = self._hosts[sample.host] = _Host(delay)
        elif sample.time <= host.time:
            return False
        host.delay = min(host.delay, delay)
        host.received_at, host.time = now, sample.time
        end = sample.time + host.delay
        span = _Span(end - sample.span_ms, end, sample.bytes_in, sample.bytes_out)
        host.spans.append(span)
        _spread(host.seconds, span)
        for flow in sample.flows:
            # Without a name the remote tells movers apart; with one, its many addresses are one mover.
            key = (flow.app, flow.domain, "" if flow.domain else flow.remote)
            mover = host.movers.get(key)
            if mover is None:
                mover = host.movers[key] = _Mover()
            mover.remote = flow.remote
            mover.spans.append(_Span(span.start, span.end, flow.bytes_in, flow.bytes_out))
            mover.bytes_in += flow.bytes_in
            mover.bytes_out += flow.bytes_out
        _forget_old(host, now)
        return True

    def names(self, now: int) -> list[str]:
        """Hosts heard within the last hour; older ones are forgotten."""
        for name in [name for name, host in self._hosts.items() if now - host.received_at > FORGET_MS]:
            del self._hosts[name]
        return sorted(self._hosts)

    def present(self, now: int) -> set[str]:
        """Hosts that report at this moment."""
        return {name for name, host in self._hosts.items() if _is_present(host, now)}

    def bandwidth(self, name: str, now: int, lens: Lens = EVERYTHING) -> HostBandwidth:
        """Rates of a host; with a filter that asks for more than hosts, those of its movers that fit."""
        host = self._hosts.get(name)
        if host is None:
            return HostBandwidth(host=name, bytes_in=None, bytes_out=None, time=None)
        end = host.spans[-1].end
        bytes_in, bytes_out, covered = _within(reversed(host.spans), end - WINDOW_MS, end)
        if not _is_present(host, now) or covered < KNOWN_MS:
            return HostBandwidth(host=name, bytes_in=None, bytes_out=None, time=end)
        if not lens.whole_hosts:
            bytes_in = bytes_out = 0.0
            for mover in _movers_of(name, host, lens):
                mover_in, mover_out, _ = _within(reversed(mover.spans), end - WINDOW_MS, end)
                bytes_in, bytes_out = bytes_in + mover_in, bytes_out + mover_out
        return HostBandwidth(
            host=name, bytes_in=bytes_in * 1000 / covered, bytes_out=bytes_out * 1000 / covered, time=end
        )

    def movers(
        self, now: int, limit: int, names: Collection[str] | None = None, lens: Lens = EVERYTHING
    ) -> list[Mover]:
        """The largest of the hosts that report, by the rate of the last five seconds, then by the last minute."""
        return heapq.nlargest(
            limit,
            (
                _mover(name, key, mover, host.spans[-1].end)
                for name, host in self._hosts.items()
                if _is_present(host, now) and (names is None or name in names)
                for key, mover in host.movers.items()
                if mover.spans[-1].end > now - MINUTE_MS and lens.mover(name, key[0], key[1])
            ),
            key=lambda mover: (mover.rate_in + mover.rate_out, mover.bytes_in + mover.bytes_out, mover.last_seen),
        )

    def history(
        self, now: int, names: Collection[str] | None = None, lens: Lens = EVERYTHING
    ) -> tuple[int, list[float | None], list[float | None]]:
        """Start (epoch ms), bytes/s in and out of the last 60 whole seconds, all hosts together; null where none is
        known. They end a second ago, so that the samples of the newest have come in.
        """
        last = now // 1000 - 1
        first = last - HISTORY_SECONDS
        rates_in: list[float | None] = []
        rates_out: list[float | None] = []
        hosts = [(name, host) for name, host in self._hosts.items() if names is None or name in names]
        seconds = [host.seconds if lens.whole_hosts else _seconds_of(name, host, lens) for name, host in hosts]
        for second in range(first, last):
            known = [found for one in seconds if (found := one.get(second)) is not None and found.covered_ms >= 500]
            rates_in.append(sum(s.bytes_in * 1000 / s.covered_ms for s in known) if known else None)
            rates_out.append(sum(s.bytes_out * 1000 / s.covered_ms for s in known) if known else None)
        return first * 1000, rates_in, rates_out


def _movers_of(name: str, host: _Host, lens: Lens) -> list[_Mover]:
    return [mover for key, mover in host.movers.items() if lens.mover(name, key[0], key[1])]


def _seconds_of(name: str, host: _Host, lens: Lens) -> dict[int, _Second]:
    """The seconds that a host is known for, with the bytes of the movers that fit."""
    found: dict[int, _Second] = {}
    for number, second in host.seconds.items():
        found[number] = _Second()
        found[number].covered_ms = second.covered_ms
    spread: dict[int, _Second] = {}
    for mover in _movers_of(name, host, lens):
        for span in mover.spans:
            _spread(spread, span)
    for number, second in spread.items():
        if number in found:
            found[number].bytes_in, found[number].bytes_out = second.bytes_in, second.bytes_out
    return found


def total(hosts: Iterable[HostBandwidth]) -> Bandwidth:
    """Sum of the known rates; null when none is."""
    known = [host for host in hosts if host.bytes_in is not None and host.bytes_out is not None]
    if not known:
        return Bandwidth(bytes_in=None, bytes_out=None)
    return Bandwidth(bytes_in=sum(h.bytes_in or 0.0 for h in known), bytes_out=sum(h.bytes_out or 0.0 for h in known))


def _is_present(host: _Host, now: int) -> bool:
    return now - host.received_at <= AWAY_MS


def _mover(name: str, key: tuple[str, str, str], mover: _Mover, end: int) -> Mover:
    recent_in, recent_out, _ = _within(reversed(mover.spans), end - WINDOW_MS, end)
    return Mover(
        host=name,
        app=key[0],
        domain=key[1],
        remote=mover.remote,
        bytes_in=mover.bytes_in,
        bytes_out=mover.bytes_out,
        rate_in=recent_in * 1000 / WINDOW_MS,
        rate_out=recent_out * 1000 / WINDOW_MS,
        last_seen=mover.spans[-1].end,
    )


def _spread(seconds: dict[int, _Second], span: _Span) -> None:
    """Give each second of the wall clock its share of the sample."""
    at = span.start
    while at < span.end:
        until = min((at // 1000 + 1) * 1000, span.end)
        second = seconds.setdefault(at // 1000, _Second())
        share = (until - at) / (span.end - span.start)
        second.bytes_in += span.bytes_in * share
        second.bytes_out += span.bytes_out * share
        second.covered_ms += until - at
        at = until


def _forget_old(host: _Host, now: int) -> None:
    oldest = now // 1000 - HISTORY_SECONDS - 2
    for second in [second for second in host.seconds if second < oldest]:
        del host.seconds[second]
    for key, mover in list(host.movers.items()):
        while mover.spans and mover.spans[0].end <= now - MINUTE_MS:
            gone = mover.spans.popleft()
            mover.bytes_in -= gone.bytes_in
            mover.bytes_out -= gone.bytes_out
        if not mover.spans:
            del host.movers[key]
