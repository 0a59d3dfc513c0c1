"""How numbers and times are written. Every figure on every page goes through here.

Amounts are bytes in powers of 1000, rates are written in bits unless the viewer wants bytes, both with one decimal.
A column of a table has one unit, chosen by its largest value. Unknown is an en dash, a true zero ``0.0``, anything
smaller than the last digit ``<0.1``. A no-break space stands before a unit. The viewer's ``Style`` says what parts
thousands and decimals, and how dates and clocks read; without one a thin space, a point, ``19 Nov 2026`` and 24 hours.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from zoneinfo import ZoneInfo

import msgspec

NBSP = "\u00a0"
THIN = "\u2009"
UNKNOWN = "–"

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Style(msgspec.Struct, frozen=True):
    """How a viewer wants figures written."""

    rates_in_bytes: bool = False
    thousands: str = THIN
    point: str = "."
    dates: str = "day"
    """``day`` (19 Nov 2026), ``month`` (Nov 19, 2026) or ``iso`` (2026-11-19)."""
    hours: int = 24


PLAIN = Style()
STYLE: ContextVar[Style] = ContextVar("style", default=PLAIN)
"""Of the visit that is being answered. A context variable, because every figure of a page has the same one."""


class Unit(msgspec.Struct, frozen=True):
    """A unit: its symbol, how many of the base unit (byte, byte/s) it holds, and how many decimals are shown."""

    symbol: str
    size: float
    decimals: int


AMOUNTS = (
    Unit("B", 1, 0),
    Unit("kB", 1e3, 1),
    Unit("MB", 1e6, 1),
    Unit("GB", 1e9, 1),
    Unit("TB", 1e12, 1),
    Unit("PB", 1e15, 1),
)
RATES = (
    Unit("bit/s", 1 / 8, 0),
    Unit("kbit/s", 1e3 / 8, 1),
    Unit("Mbit/s", 1e6 / 8, 1),
    Unit("Gbit/s", 1e9 / 8, 1),
    Unit("Tbit/s", 1e12 / 8, 1),
)
BYTE_RATES = tuple(Unit(f"{unit.symbol}/s", unit.size, unit.decimals) for unit in AMOUNTS)

SURE_SHARE = 0.99
"""Below this share of measured host-time a total is written as a lower bound."""


LONG_TAIL = 10
"""A column with few large values and many small ones stays in the smaller unit so many times longer: "1 512.4" among
"0.3" and not "1.5" among "<0.1".
"""


def _choose(units: Sequence[Unit], values: Iterable[float | None], longer: int = 1) -> Unit:
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    for unit in units:
        # Compared as it will be written: 999.96 kB is written in MB, not as "1 000.0 kB".
        if round(largest / unit.size, unit.decimals) < 1000 * longer:
            return unit
    return units[-1]


def amount_unit(values: Iterable[float | None], *, long_tail: bool = False) -> Unit:
    """Unit for a column of amounts in bytes."""
    return _choose(AMOUNTS, values, LONG_TAIL if long_tail else 1)


def rate_unit(values: Iterable[float | None], *, long_tail: bool = False) -> Unit:
    """Unit for a column of rates in bytes/s; it is one of bits unless the viewer wants bytes."""
    return _choose(BYTE_RATES if STYLE.get().rates_in_bytes else RATES, values, LONG_TAIL if long_tail else 1)


def group(number: float, decimals: int = 0) -> str:
    """``1 012.6`` with a thin space, and a true minus."""
    style = STYLE.get()
    whole, _, part = f"{number:,.{decimals}f}".partition(".")
    return whole.replace(",", style.thousands).replace("-", "−") + (f"{style.point}{part}" if part else "")


def count(number: int) -> str:
    """``2 328``."""
    return group(number)


def in_unit(value: float | None, unit: Unit) -> str:
    """A value in bytes or bytes/s as a bare number of ``unit``."""
    if value is None:
        return UNKNOWN
    scaled = value / unit.size
    smallest = 10**-unit.decimals
    if 0 < scaled < smallest / 2:
        return f"<{group(smallest, unit.decimals)}"
    return group(scaled, unit.decimals)


def _with_unit(value: float | None, units: Sequence[Unit]) -> str:
    if value is None:
        return UNKNOWN
    unit = _choose(units, [value])
    return f"{in_unit(value, unit)}{NBSP}{unit.symbol}"


def amount(value: float | None) -> str:
    """``588.5 GB``."""
    return _with_unit(value, AMOUNTS)


def rate(value: float | None) -> str:
    """``90.0 Mbit/s``, ``165 Mbit/s`` of a rate in bytes/s."""
    if value is None:
        return UNKNOWN
    unit = rate_unit([value])
    if value / unit.size >= 99.95:
        unit = msgspec.structs.replace(unit, decimals=0)
    return f"{in_unit(value, unit)}{NBSP}{unit.symbol}"


def other_rate(value: float | None) -> str:
    """``11.2 MB/s``: the rate in what the viewer did not choose."""
    return _with_unit(value, RATES if STYLE.get().rates_in_bytes else BYTE_RATES)


def bound(measured_share: float | None) -> str:
    """The mark before a total that is a lower bound, else nothing."""
    return f"≥{NBSP}" if measured_share is not None and measured_share < SURE_SHARE else ""


def percent(share: float | None) -> str:
    """``95.5 %`` of a share from 0 to 1, rounded down: 100 % means all of it."""
    if share is None:
        return UNKNOWN
    if 0 < share < 0.001:
        return f"<{group(0.1, 1)}{NBSP}%"
    # The small addend undoes binary representation (0.955 * 1000 is 954.99…), not rounding.
    tenths = math.floor(min(max(share, 0.0), 1.0) * 1000 + 1e-9)
    return f"100{NBSP}%" if tenths == 1000 else f"{group(tenths / 10, 1)}{NBSP}%"


def change(now: float, before: float) -> str:
    """``+12 %`` against what was before, ``±0 %``, ``new`` if there was nothing."""
    if before <= 0:
        return "new" if now > 0 else f"±0{NBSP}%"
    percents = round((now - before) / before * 100)
    return f"{'+' if percents > 0 else '±' if percents == 0 else ''}{group(percents)}{NBSP}%"


def shares(values: Sequence[float]) -> list[str]:
    """Shares in percent of the values' sum, one decimal each, rounded so that they add up to exactly 100.0."""
    total = sum(values)
    if total <= 0:
        return [UNKNOWN for _ in values]
    exact = [value / total * 1000 for value in values]
    tenths = [math.floor(part) for part in exact]
    by_remainder = sorted(range(len(values)), key=lambda index: tenths[index] - exact[index])
    for index in by_remainder[: 1000 - sum(tenths)]:
        tenths[index] += 1
    return [
        f"<{group(0.1, 1)}" if part == 0 and value > 0 else group(part / 10, 1)
        for part, value in zip(tenths, values, strict=True)
    ]


def duration(seconds: float) -> str:
    """``8 s``, ``2 min 08 s``, ``3 h 05 min``, ``2 d 4 h``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}{NBSP}s"
    if whole < 3600:
        return f"{whole // 60}{NBSP}min{NBSP}{whole % 60:02}{NBSP}s"
    if whole < 86400:
        return f"{whole // 3600}{NBSP}h{NBSP}{whole % 3600 // 60:02}{NBSP}min"
    return f"{whole // 86400}{NBSP}d{NBSP}{whole % 86400 // 3600}{NBSP}h"


def bucket_words(seconds: int) -> str:
    """How long a step of a chart is, as part of its heading: ``15-minute means``."""
    for length, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length}-{word} means"
    return f"{seconds}-second means"


def local(ms: int, zone: ZoneInfo) -> dt.datetime:
    """Epoch milliseconds as a time of the viewer's zone."""
    return dt.datetime.fromtimestamp(ms / 1000, zone)


def iso(ms: int, zone: ZoneInfo) -> str:
    """ISO 8601 with offset, for ``<time datetime>`` and exports."""
    return local(ms, zone).isoformat(timespec="seconds")


def clock(time: dt.datetime, *, seconds: bool = False) -> str:
    """``14:05``, ``14:05:09``; ``2:05 PM`` for who reads it so."""
    if STYLE.get().hours == 24:
        return f"{time:%H:%M:%S}" if seconds else f"{time:%H:%M}"
    rest = f"{time:%M:%S}" if seconds else f"{time:%M}"
    return f"{time.hour % 12 or 12}:{rest}{NBSP}{'AM' if time.hour < 12 else 'PM'}"


def day(time: dt.datetime, *, year: bool) -> str:
    """``19 Nov 2026``, ``19 Nov``."""
    dates = STYLE.get().dates
    if dates == "iso":
        return f"{time:%Y-%m-%d}" if year else f"{time:%m-%d}"
    month = MONTHS[time.month - 1]
    if dates == "month":
        return f"{month}{NBSP}{time.day}" + (f",{NBSP}{time.year}" if year else "")
    return f"{time.day}{NBSP}{month}" + (f"{NBSP}{time.year}" if year else "")


def moment(ms: int | None, zone: ZoneInfo, now: int, *, seconds: bool = False) -> str:
    """``14:05`` today, ``Wed 17:12`` within six days, else ``19 Nov 2026``."""
    if ms is None:
        return UNKNOWN
    time = local(ms, zone)
    days = (local(now, zone).date() - time.date()).days
    if days == 0:
        return clock(time, seconds=seconds)
    if 0 < days < 7:
        return f"{DAYS[time.weekday()]}{NBSP}{clock(time, seconds=seconds)}"
    return day(time, year=True)


def span(start: int, end: int, zone: ZoneInfo, now: int) -> str:
    """``13:15–14:15`` within today, else ``18 Nov 14:15 – 19 Nov 14:15``, with the year unless it is this one."""
    first, last, today = local(start, zone), local(end, zone), local(now, zone).date()
    if first.date() == last.date() == today:
        return f"{clock(first)}–{clock(last)}"
    return " – ".join(f"{day(time, year=time.year != today.year)}{NBSP}{clock(time)}" for time in (first, last))


def zone_words(zone: ZoneInfo, now: int) -> str:
    """``Europe/Berlin (UTC+1)``."""
    offset = local(now, zone).utcoffset() or dt.timedelta()
    minutes = round(offset.total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    sign = "−" if minutes < 0 else "+"
    shown = "UTC" if minutes == 0 else f"UTC{sign}{hours}" + (f":{rest:02}" if rest else "")
    return f"{zone.key} ({shown})" if zone.key != "UTC" else "UTC"


def whole_percent(share: float) -> str:
    """``18 %`` of a share; ``<1 %`` of one that is small but there."""
    if 0 < share < 0.005:
        return f"<1{NBSP}%"
    return f"{group(share * 100)}{NBSP}%"
