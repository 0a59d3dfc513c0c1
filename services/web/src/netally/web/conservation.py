"""The conservation bar: where every byte of the interface counters went, as groups of causes and as a drawing.

In: the causes of ``GET /api/conservation`` or of one host, whose sum is the counter. Out: shares that add up to 100.00.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from netally.contracts.queries import CauseSum
from netally.web.figures import NBSP, amount, amount_unit, group, in_unit

CAUSES: dict[str, tuple[str, str]] = {
    "attributed": ("attributed", "process, name and host known"),
    "no_process": ("no process", "its process ended before it was looked up, or lies in a container"),
    "no_name": ("no name", "process known; no TLS, HTTP or DNS name was seen"),
    "unknown": ("no name", "neither process nor name"),
    "kernel": ("no socket", "kernel traffic, such as ICMP, NFS or WireGuard"),
    "forwarded": ("no socket", "forwarded for other machines"),
    "not_ip": ("no socket", "not IP, such as ARP"),
    "header_difference": ("no socket", "headers that the counter sees otherwise"),
    "paused": ("paused", "capture was paused"),
    "lost_ring": ("lost", "packet ring full"),
    "lost_map": ("lost", "kernel map full"),
    "lost_spool": ("lost", "the agent's disk spool full"),
}
"""Group and words of each cause of the vocabulary."""

GROUPS: dict[str, tuple[str, str]] = {
    "attributed": ("plain", "Attributed"),
    "no process": ("bare", "Named, no process"),
    "no name": ("anon", "No name"),
    "no socket": ("c0", "No program of its own"),
    "paused": ("gap", "Paused"),
    "lost": ("lost", "Lost"),
}
"""Mark and name of each group, in the order of the bar."""

LEAST = 0.15
"""Percent of the bar that anything not zero takes, so that it can be seen."""


class Slice(msgspec.Struct, frozen=True):
    """A piece of a bar, in percent of its width."""

    mark: str
    x: float
    width: float


class Group(msgspec.Struct, frozen=True):
    mark: str
    name: str
    share: str
    amount: str
    causes: list[str]
    """With their amounts, largest first."""


class Conservation(msgspec.Struct, frozen=True):
    groups: list[Group]
    bar: list[Slice]
    rest: list[Slice]
    """What is not attributed drawn again over the whole width, a piece for each cause; empty when there is none."""
    rest_from: float
    """Where it begins in the bar, percent."""
    rest_words: str
    sum_words: str
    """``Interface counters 1 012.6 GB = 948.3 + 33.2 + …``."""
    summary: str


def conservation(causes: Sequence[CauseSum]) -> Conservation | None:
    """Null when the counters have not moved or nothing was counted."""
    sizes = {one.cause: one.bytes_in + one.bytes_out for one in causes}
    total = sum(sizes.values())
    if total <= 0:
        return None
    unit = amount_unit([total])
    if total / unit.size < 10:
        # A digit more, so that the small parts of the sum can be read.
        unit = amount_unit([total / 1000])
    of_group = {name: sum(size for cause, size in sizes.items() if group_of(cause) == name) for name in GROUPS}
    percents = dict(zip(GROUPS, _hundredths([max(size, 0) for size in of_group.values()]), strict=True))
    groups = [
        Group(mark, name, f"{group(percents[key], 2)}{NBSP}%", amount(of_group[key]), _words(key, sizes))
        for key, (mark, name) in GROUPS.items()
        if of_group[key] or key in ("attributed", "lost")
    ]
    bar = slices([(GROUPS[key][0], size) for key, size in of_group.items()])
    left = [(cause, size) for cause, size in sizes.items() if group_of(cause) != "attributed" and size > 0]
    order = list(GROUPS)
    left.sort(key=lambda pair: (order.index(group_of(pair[0])), -pair[1]))
    rest = slices([(GROUPS[group_of(cause)][0], size) for cause, size in left])
    attributed = sum(piece.width for piece in bar if piece.mark == "plain")
    share = 100 - percents["attributed"]
    times = f", {group(round(100 / share))}{NBSP}× wider" if share >= 0.01 else ""
    return Conservation(
        groups=groups,
        bar=bar,
        rest=rest if share < 50 else [],
        rest_from=attributed,
        rest_words=f"the last {group(share, 2)}{NBSP}%{times}",
        sum_words=f"Interface counters {in_unit(total, unit)}{NBSP}{unit.symbol} = "
        + " + ".join(in_unit(of_group[key], unit) for key in GROUPS if of_group[key])
        + f"{NBSP}{unit.symbol}",
        summary=f"Interface counters {amount(total)}: "
        + ", ".join(f"{one.name.lower()} {one.share}" for one in groups)
        + ".",
    )


def group_of(cause: str) -> str:
    """A cause that this page does not know yet has no name either."""
    return CAUSES.get(cause, ("no name", ""))[0]


def slices(parts: Sequence[tuple[str, int]]) -> list[Slice]:
    """Pieces side by side over the whole width; what is not zero can be seen, negative differences cannot be drawn."""
    drawn = [(mark, size) for mark, size in parts if size > 0]
    total = sum(size for _, size in drawn)
    widths = [max(size / total * 100, LEAST) for _, size in drawn]
    over = sum(widths) - 100
    if widths:
        largest = widths.index(max(widths))
        widths[largest] -= over
    found, x = [], 0.0
    for (mark, _), width in zip(drawn, widths, strict=True):
        found.append(Slice(mark, round(x, 3), round(width, 3)))
        x += width
    return found


def _words(key: str, sizes: dict[str, int]) -> list[str]:
    mine = sorted(((size, cause) for cause, size in sizes.items() if group_of(cause) == key and size), reverse=True)
    words = [(size, CAUSES.get(cause, ("", cause))[1]) for size, cause in mine]
    return [text if len(mine) == 1 else f"{amount(size)} {text}" for size, text in words]


def _hundredths(sizes: Sequence[int]) -> list[float]:
    """Percent with two decimals that add up to exactly 100."""
    total = sum(sizes)
    exact = [size / total * 10_000 for size in sizes]
    whole = [math.floor(part) for part in exact]
    for index in sorted(range(len(sizes)), key=lambda at: whole[at] - exact[at])[: 10_000 - sum(whole)]:
        whole[index] += 1
    return [part / 100 for part in whole]
