"""Top movers of this moment as a tree: process, its domains, their hosts. One for each open stream of the Live page.

In: the movers of each second. Out: rows whose places are kept for ten seconds, so that they can be read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from netally.contracts.domain_display import display_name
from netally.contracts.queries import Mover
from netally.web.figures import Unit, amount_unit, in_unit, rate_unit
from netally.web.links import to_application, to_domain, to_host
from netally.web.live import SORT_MS, row_id

PROCESSES = 15
PLACES = 5
"""Domains shown of a process, and hosts of a domain."""

Path = tuple[str, ...]
OTHERS = "\0"
"""Stands in a path for all that are not shown: no name."""


class Sum(msgspec.Struct):
    """Rates in bytes/s of the last five seconds, bytes of the last 60 s."""

    rate_in: float = 0.0
    rate_out: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0

    @property
    def bytes(self) -> int:
        return self.bytes_in + self.bytes_out

    def add(self, other: Sum | Mover) -> None:
        self.rate_in += other.rate_in
        self.rate_out += other.rate_out
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out


class TreeRow(msgspec.Struct, frozen=True):
    id: str
    level: int
    """0 process, 1 domain, 2 host."""
    name: str
    soft: bool
    """Not a name: no process, an address, the others."""
    stored: str
    """The stored form of a domain that people read otherwise; else empty."""
    href: str
    """The page about it; empty for sums."""
    place: str
    """The host, or how many there are."""
    place_href: str
    """The page about the host, where there is one."""
    bar_in: float
    bar_out: float
    """Percent of the column, of the last 60 s."""
    rate_in: str
    rate_out: str
    bytes_in: str
    bytes_out: str


class TreeView(msgspec.Struct, frozen=True):
    rows: list[TreeRow]
    rates: Unit
    amounts: Unit
    total: TreeRow
    matching: int
    """Movers that pass the filter, of ``movers``."""
    movers: int


def matches(mover: Mover, words: Sequence[str]) -> bool:
    """Whether every word, in lower case, is in its process, its name as stored or read, its address or its host."""
    text = "\n".join((mover.app, mover.domain, display_name(mover.domain), mover.remote, mover.host)).lower()
    return all(word in text for word in words)


def _path(mover: Mover) -> Path:
    return mover.app, mover.domain or mover.remote, mover.host


class LiveTree:
    """Keeps the places of its rows between the seconds."""

    def __init__(self, text: str, movers: Sequence[Mover], now: int) -> None:
        self._words = text.lower().split()
        self._order: dict[Path, list[str]] = {}
        self._sorted_at = now
        self._all = len(movers)
        self._movers = [mover for mover in movers if matches(mover, self._words)]

    def update(self, movers: Sequence[Mover], now: int) -> None:
        """Take in the next second."""
        self._all = len(movers)
        self._movers = [mover for mover in movers if matches(mover, self._words)]
        if now - self._sorted_at >= SORT_MS:
            self._order.clear()
            self._sorted_at = now

    def view(self) -> TreeView:
        sums: dict[Path, Sum] = defaultdict(Sum)
        children: dict[Path, set[str]] = defaultdict(set)
        remotes: dict[Path, str] = {}
        for mover in self._movers:
            path = _path(mover)
            for depth in range(len(path)):
                sums[path[: depth + 1]].add(mover)
                children[path[:depth]].add(path[depth])
            if not mover.domain:
                remotes[path[:2]] = mover.remote
        total = Sum()
        for mover in self._movers:
            total.add(mover)
        top = [sums[path] for path in sums if len(path) == 1]
        writer = _Writer(
            rate_unit((value for one in top for value in (one.rate_in, one.rate_out)), long_tail=True),
            amount_unit((value for one in top for value in (one.bytes_in, one.bytes_out)), long_tail=True),
            max((one.bytes for one in top), default=0) or 1,
        )

        def process(app: str) -> list[TreeRow]:
            hosts = {path[2] for path in sums if len(path) == 3 and path[0] == app}
            first = writer.row((app,), sums[app,], hosts, to_application(app), soft=not app, words=app or "no process")
            places = self._level((app,), children[app,], sums, writer, PLACES, lambda name: domain((app, name)))
            return [first, *places]

        def domain(path: Path) -> list[TreeRow]:
            remote = remotes.get(path, "")
            href = to_domain("" if remote else path[1], remote)
            first = writer.row(path, sums[path], children[path], href, soft=bool(remote))
            if len(children[path]) == 1:
                return [first]
            return [first, *self._level(path, children[path], sums, writer, PLACES, lambda name: host((*path, name)))]

        def host(path: Path) -> list[TreeRow]:
            return [writer.row(path, sums[path], (), to_host(path[2]))]

        return TreeView(
            self._level((), children[()], sums, writer, PROCESSES, process),
            writer.rates,
            writer.amounts,
            writer.row(("Together",), total, (), bar=False),
            len(self._movers),
            self._all,
        )

    def _level(
        self,
        parent: Path,
        names: set[str],
        sums: dict[Path, Sum],
        writer: _Writer,
        most: int,
        draw: Callable[[str], list[TreeRow]],
    ) -> list[TreeRow]:
        """The rows of the children in their places, and one of those that are not shown."""
        order = self._placed(parent, names, sums, most)
        rows = [row for name in order[:most] for row in draw(name)]
        if len(order) > most:
            rest = Sum()
            for name in order[most:]:
                rest.add(sums[*parent, name])
            words = f"{len(order) - most} other{'s' if len(order) > most + 1 else ''}"
            rows.append(writer.row((*parent, OTHERS), rest, (), soft=True, bar=False, words=words))
        return rows

    def _placed(self, parent: Path, names: set[str], sums: dict[Path, Sum], most: int) -> list[str]:
        """The order as it was, new ones behind; a larger one that is not shown takes the place of the smallest."""

        def size(name: str) -> tuple[int, str]:
            return -sums[*parent, name].bytes, name

        order = [name for name in self._order.get(parent, []) if name in names]
        order += sorted(names - set(order), key=size)
        if len(order) > most:
            smallest = max(order[:most], key=size)
            largest = min(order[most:], key=size)
            if sums[*parent, largest].bytes > sums[*parent, smallest].bytes:
                one, other = order.index(smallest), order.index(largest)
                order[one], order[other] = largest, smallest
        self._order[parent] = order
        return order


class _Writer(msgspec.Struct, frozen=True):
    """Writes sums in the units of their columns."""

    rates: Unit
    amounts: Unit
    largest: int

    def row(
        self,
        path: Path,
        one: Sum,
        hosts: Iterable[str],
        href: str = "",
        *,
        soft: bool = False,
        bar: bool = True,
        words: str = "",
    ) -> TreeRow:
        """``words`` stand for a name where there is none."""
        found = sorted(hosts)
        name = words or path[-1]
        shown = display_name(name) if len(path) == 2 else name
        return TreeRow(
            row_id(path),
            len(path) - 1,
            shown,
            soft,
            name if shown != name else "",
            href,
            found[0] if len(found) == 1 else f"{len(found)} hosts" if found else "",
            to_host(found[0]) if len(found) == 1 else "",
            round(one.bytes_in / self.largest * 100, 1) if bar else 0.0,
            round(one.bytes_out / self.largest * 100, 1) if bar else 0.0,
            in_unit(one.rate_in, self.rates),
            in_unit(one.rate_out, self.rates),
            in_unit(one.bytes_in, self.amounts),
            in_unit(one.bytes_out, self.amounts),
        )
