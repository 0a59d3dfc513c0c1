"""What moves: the rates of now, their last 60 seconds, and who moves the bytes. Fed by the API, one event a second."""

from __future__ import annotations

from collections import deque
from zlib import crc32

import msgspec

from netally.contracts.domain_display import display_name
from netally.contracts.queries import BandwidthAnswer, LiveEvent, Mover
from netally.web.charts import Spark, spark
from netally.web.figures import Unit, amount_unit, in_unit, other_rate, rate_unit
from netally.web.links import to_application, to_domain, to_host

SECONDS = 60
ROWS = 10
SORT_MS = 10_000
"""Rows keep their places for ten seconds, so that they can be read and clicked."""

Key = tuple[str, str, str]


class Reading(msgspec.Struct, frozen=True):
    """One big live figure."""

    figure: str
    unit: str
    other_words: str
    spark: Spark


class MoverRow(msgspec.Struct, frozen=True):
    id: str
    app: str
    domain: str
    """Its name, or its address where it has none."""
    named: bool
    host: str
    to_app: str
    to_domain: str
    to_host: str
    bar_in: float
    bar_out: float
    """Percent of the column."""
    bytes_in: str
    bytes_out: str
    rate_in: str
    rate_out: str


class LiveView(msgspec.Struct, frozen=True):
    """What the live part's template needs."""

    reading_in: Reading
    reading_out: Reading
    hosts_reporting: int
    time: int | None
    """Of the newest event."""
    amounts: Unit
    rates: Unit
    rows: list[MoverRow]
    others: int
    others_in: str
    others_out: str
    total_in: str
    total_out: str
    problem: str
    """Why nothing moves, in plain words; else empty."""


def _key(mover: Mover) -> Key:
    return mover.app, mover.domain or mover.remote, mover.host


def row_id(path: tuple[str, ...]) -> str:
    """A row's id in the page. By it a swap finds the row again, so that focus stays on what was focused."""
    return f"m{crc32(chr(0).join(path).encode()):08x}"


def _bytes(mover: Mover) -> int:
    return mover.bytes_in + mover.bytes_out


class LiveBoard:
    """Keeps the last 60 seconds and the order of the rows. One for each open stream."""

    def __init__(self, answer: BandwidthAnswer, now: int) -> None:
        self._history_in = deque(answer.history_in, maxlen=SECONDS)
        self._history_out = deque(answer.history_out, maxlen=SECONDS)
        self._total = answer.total
        self._hosts = sum(host.bytes_in is not None for host in answer.hosts)
        self._movers = {_key(mover): mover for mover in answer.movers}
        self._order = self._sorted()[:ROWS]
        self._sorted_at = now
        self._time: int | None = max((host.time for host in answer.hosts if host.time is not None), default=None)

    def update(self, event: LiveEvent) -> None:
        """Take in the next second."""
        self._history_in.append(event.total.bytes_in)
        self._history_out.append(event.total.bytes_out)
        self._total = event.total
        self._hosts = sum(host.bytes_in is not None for host in event.hosts)
        self._movers = {_key(mover): mover for mover in event.movers}
        self._time = event.time
        if event.time - self._sorted_at >= SORT_MS:
            self._order = self._sorted()[:ROWS]
            self._sorted_at = event.time
        else:
            self._order = self._kept()

    def view(self, problem: str = "") -> LiveView:
        shown = [self._movers[key] for key in self._order]
        others = [mover for key, mover in self._movers.items() if key not in set(self._order)]
        amounts = amount_unit((value for mover in shown for value in (mover.bytes_in, mover.bytes_out)), long_tail=True)
        rates = rate_unit((value for mover in shown for value in (mover.rate_in, mover.rate_out)), long_tail=True)
        largest = max((_bytes(mover) for mover in shown), default=0) or 1
        return LiveView(
            reading_in=_reading(self._total.bytes_in, list(self._history_in)),
            reading_out=_reading(self._total.bytes_out, list(self._history_out)),
            hosts_reporting=self._hosts,
            time=self._time,
            amounts=amounts,
            rates=rates,
            rows=[
                MoverRow(
                    row_id(_key(mover)),
                    mover.app,
                    display_name(mover.domain) or mover.remote,
                    bool(mover.domain),
                    mover.host,
                    to_application(mover.app),
                    to_domain(mover.domain, mover.remote),
                    to_host(mover.host),
                    round(mover.bytes_in / largest * 100, 1),
                    round(mover.bytes_out / largest * 100, 1),
                    in_unit(mover.bytes_in, amounts),
                    in_unit(mover.bytes_out, amounts),
                    in_unit(mover.rate_in, rates),
                    in_unit(mover.rate_out, rates),
                )
                for mover in shown
            ],
            others=len(others),
            others_in=in_unit(sum(mover.bytes_in for mover in others), amounts),
            others_out=in_unit(sum(mover.bytes_out for mover in others), amounts),
            total_in=in_unit(sum(mover.bytes_in for mover in self._movers.values()), amounts),
            total_out=in_unit(sum(mover.bytes_out for mover in self._movers.values()), amounts),
            problem=problem,
        )

    def _sorted(self) -> list[Key]:
        return sorted(self._movers, key=lambda key: (-_bytes(self._movers[key]), key))

    def _kept(self) -> list[Key]:
        """The order as it was; who left gives the place to the largest that is not shown, and so does a smaller one
        once the table is full.
        """
        waiting = [key for key in self._sorted() if key not in set(self._order)]
        order = []
        for key in self._order:
            if key in self._movers:
                order.append(key)
            elif waiting:
                order.append(waiting.pop(0))
        order += waiting[: ROWS - len(order)]
        waiting = [key for key in waiting if key not in set(order)]
        if waiting and order:
            smallest = min(order, key=lambda key: _bytes(self._movers[key]))
            if _bytes(self._movers[waiting[0]]) > _bytes(self._movers[smallest]):
                order[order.index(smallest)] = waiting[0]
        return order


def _reading(value: float | None, history: list[float | None]) -> Reading:
    unit = rate_unit([value])
    return Reading(in_unit(value, unit), unit.symbol, other_rate(value), spark(history))
