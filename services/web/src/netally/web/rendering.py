"""Templates: the environment, and what every page's frame shows. Everything is escaped; nothing is marked safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
import msgspec

from netally.web import figures, roles
from netally.web.appearance import THEMES, UNITS
from netally.web.assets import url_of


class Entry(msgspec.Struct, frozen=True):
    """An entry of the menu."""

    path: str
    name: str
    key: str
    """Pressed after ``g`` it opens the page; no two are the same."""


NAVIGATION = (
    Entry("/", "Overview", "o"),
    Entry("/live", "Live", "l"),
    Entry("/applications", "Applications", "a"),
    Entry("/domains", "Domains", "d"),
    Entry("/browsers", "Browsers", "b"),
    Entry("/hosts", "Hosts", "h"),
    Entry("/history", "History", "y"),
    Entry("/explore", "Explore", "e"),
    Entry("/operations", "Operations", "p"),
    Entry("/settings", "Settings", "s"),
    Entry("/tokens", "Tokens", "k"),
)
"""Pages that exist, in the order of the menu."""


class Frame(msgspec.Struct, frozen=True):
    """What the frame around a page shows."""

    title: str
    path: str
    """Path of the page, to mark its entry in the menu."""
    theme: str
    zone: str
    """``Europe/Berlin (UTC+1)``."""
    zone_key: str
    zone_known: bool
    """Whether the browser has told its own zone."""
    version: str
    here: str
    """Path and query, to come back to after a form."""
    signed_in: bool = True
    query: str = ""
    """Query of the shown range, so that the menu keeps it."""
    rates: str = "bit/s"
    """Unit of rates, as it was chosen."""
    label: str = ""
    """What kind of data it is, where somebody could take it for his own."""


def environment() -> jinja2.Environment:
    """The environment of all templates."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.globals.update(asset=url_of, navigation=NAVIGATION, themes=THEMES, units=UNITS, nbsp=figures.NBSP)
    env.globals.update(role_reason=roles.reason, role_who=roles.who)
    env.filters.update(amount=figures.amount, rate=figures.rate, count=figures.count, bucket_words=figures.bucket_words)
    return env


_ENVIRONMENT = environment()


def render(template: str, **context: Any) -> str:
    """HTML of a template."""
    return _ENVIRONMENT.get_template(template).render(**context)


def times(zone: ZoneInfo, now: int) -> dict[str, Any]:
    """Functions for templates that write times in the viewer's zone."""
    return {
        "moment": lambda ms, seconds=False: figures.moment(ms, zone, now, seconds=seconds),
        "iso": lambda ms: figures.iso(ms, zone),
    }
