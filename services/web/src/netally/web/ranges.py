"""The range of time a page shows, as it stands in the URL.

``?range=24h`` moves with the clock. ``?from=2026-11-18T14:15&to=2026-11-19T14:15&tz=Europe/Berlin`` stands still:
``tz`` makes a local time mean the same for everyone who opens the link; a time may carry its own offset instead.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from netally.web.figures import span

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

PRESETS: dict[str, tuple[int, str, str]] = {
    "15m": (15 * MINUTE, "15 min", "last 15 minutes"),
    "1h": (HOUR, "1 h", "last hour"),
    "24h": (DAY, "24 h", "last 24 hours"),
    "7d": (7 * DAY, "7 d", "last 7 days"),
    "30d": (30 * DAY, "30 d", "last 30 days"),
    "90d": (90 * DAY, "90 d", "last 90 days"),
    "1y": (365 * DAY, "12 mo", "last 12 months"),
}
"""Key in the URL → length in ms, words on the button, words in a heading."""

DEFAULT = "1h"
SHORTEST = MINUTE
LONGEST = 10 * 365 * DAY

_ZONES = available_timezones()
_REGIONS = ("Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
ZONES = ["UTC", *sorted(name for name in _ZONES if name.startswith(tuple(f"{region}/" for region in _REGIONS)))]
"""Zones to choose from: those of places, without the old names."""


class RangeError(ValueError):
    """A range in the URL that cannot be shown; the message says why and what to write."""


class Range(msgspec.Struct, frozen=True):
    """Half-open [start, end) in epoch milliseconds."""

    start: int
    end: int
    preset: str | None
    """Key in PRESETS, or null for a range that stands still."""

    @property
    def length(self) -> int:
        return self.end - self.start


class Step(msgspec.Struct, frozen=True):
    """A link of the range picker."""

    href: str
    words: str
    current: bool


def find_zone(name: str | None) -> ZoneInfo | None:
    """Zone of an IANA name from outside (a cookie, a URL); null for anything that is none."""
    return ZoneInfo(name) if name and name in _ZONES else None


def server_zone(configured: str, localtime: Path = Path("/etc/localtime")) -> ZoneInfo:
    """The configured zone, else this machine's, else UTC."""
    if found := find_zone(configured):
        return found
    _, _, name = str(localtime.resolve()).partition("/zoneinfo/")
    return find_zone(name) or ZoneInfo("UTC")


def read_range(query: Mapping[str, str], zone: ZoneInfo, now: int, default: str = DEFAULT) -> Range:
    """Range of a URL's query. Raises RangeError for a wrong one; no range at all is the preset ``default``."""
    since, until = query.get("from", ""), query.get("to", "")
    if since or until:
        if not since or not until:
            raise RangeError("A range needs both a start and an end.")
        zone = _named_zone(query, zone)
        start, end = _read_time(since, zone), _read_time(until, zone)
        if end - start < SHORTEST:
            raise RangeError("The end has to lie at least a minute after the start.")
        if end - start > LONGEST:
            raise RangeError("The range is longer than ten years.")
        if start > now:
            raise RangeError("The range lies in the future, where nothing is measured yet.")
        return Range(start, end, None)
    preset = query.get("range") or default
    if preset not in PRESETS:
        raise RangeError(f"There is no range called “{preset[:20]}”. Choose one of {', '.join(PRESETS)}.")
    return Range(now - PRESETS[preset][0], now, preset)


def _named_zone(query: Mapping[str, str], zone: ZoneInfo) -> ZoneInfo:
    named = query.get("tz", "")
    if not named:
        return zone
    found = find_zone(named)
    if found is None:
        raise RangeError(f"There is no time zone called “{named[:40]}”.")
    return found


def _read_time(text: str, zone: ZoneInfo) -> int:
    try:
        # A plus sign that was not percent-encoded reached us as a space.
        time = dt.datetime.fromisoformat(text.replace(" ", "+"))
        if time.tzinfo is None:
            time = time.replace(tzinfo=zone)
        ms = round(time.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise RangeError(f"“{text[:40]}” is no time. Write it like 2026-11-19T14:15.") from None
    if not 0 <= ms < 4_102_444_800_000:
        raise RangeError(f"“{text[:40]}” lies outside 1970 to 2099.")
    return ms


def write_time(ms: int) -> str:
    """A time for a URL: UTC, shortest form."""
    time = dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
    return f"{time:%Y-%m-%dT%H:%M}Z" if ms % MINUTE == 0 else f"{time:%Y-%m-%dT%H:%M:%S}Z"


def pairs_of(shown: Range) -> dict[str, str]:
    """Parameters of a range."""
    return {"range": shown.preset} if shown.preset else {"from": write_time(shown.start), "to": write_time(shown.end)}


def query_of(shown: Range, **more: str) -> str:
    """Query string of a range, with other parameters after it."""
    return urlencode({**pairs_of(shown), **more}, safe=":")


def title(shown: Range, zone: ZoneInfo, now: int) -> str:
    """The range in a heading."""
    return PRESETS[shown.preset][2] if shown.preset else span(shown.start, shown.end, zone, now)


def preset_steps(shown: Range, kept: Mapping[str, str]) -> list[Step]:
    """The buttons 15 min … 1 y; their links keep the page's other parameters."""
    return [
        Step("?" + urlencode({"range": key, **kept}, safe=":"), words, key == shown.preset)
        for key, (_, words, _) in PRESETS.items()
    ]


def moved(shown: Range, direction: int) -> Range:
    """The range half its length earlier (−1) or later (+1)."""
    shift = direction * (shown.length // 2)
    return Range(shown.start + shift, shown.end + shift, None)


def widened(shown: Range, now: int) -> Range:
    """One step back out of a zoom: the next longer preset around now, else twice the length around the middle."""
    for key, (length, _, _) in PRESETS.items():
        if length > shown.length and now - length <= shown.start and shown.end >= now - MINUTE:
            return Range(now - length, now, key)
    end = min(shown.end + shown.length // 2, now)
    return Range(max(0, end - min(2 * shown.length, LONGEST)), end, None)


def refresh_seconds(shown: Range) -> int | None:
    """How often the figures of a range are worth reading again; null for one that stands still."""
    if shown.preset is None:
        return None
    return 10 if shown.length <= HOUR else 30 if shown.length <= DAY else 120
