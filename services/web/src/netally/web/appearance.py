"""What a viewer may choose about how pages look: theme, units, time zone, how numbers and dates are written.

In: cookies, which the server reads so that nothing flashes, and the browser's languages. Out: a ``Style``, and the
Set-Cookie of a choice.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from netally.web.figures import THIN, Style
from netally.web.ranges import find_zone

THEMES = ("system", "light", "dark")
UNITS = {"bits": "bit/s", "bytes": "B/s"}
"""Of rates. Amounts are bytes always."""


class Locale(msgspec.Struct, frozen=True):
    words: str
    """An example, by which it is chosen."""
    style: Style


LOCALES = {
    "international": Locale(f"1{THIN}234.5 · 19 Nov 2026 · 14:05", Style()),
    "iso": Locale(f"1{THIN}234.5 · 2026-11-19 · 14:05", Style(dates="iso")),
    "us": Locale("1,234.5 · Nov 19, 2026 · 2:05 PM", Style(thousands=",", dates="month", hours=12)),
    "uk": Locale("1,234.5 · 19 Nov 2026 · 14:05", Style(thousands=",")),
    "continental": Locale("1.234,5 · 19 Nov 2026 · 14:05", Style(thousands=".", point=",")),
    "french": Locale(f"1{THIN}234,5 · 19 Nov 2026 · 14:05", Style(point=",")),
}

_CONTINENTAL = {"de", "es", "it", "nl", "pt", "da", "el", "id", "tr", "hr", "sl", "ro", "vi"}
_FRENCH = {"fr", "cs", "pl", "ru", "fi", "nb", "no", "nn", "uk", "bg", "sk", "hu", "et", "lv"}
_ISO = {"sv", "lt", "ja", "zh", "ko"}
COOKIE_SECONDS = 365 * 86400


def locale_of(languages: str) -> str:
    """The locale that a browser's ``Accept-Language`` asks for: that of its first language."""
    first = languages.partition(",")[0].partition(";")[0].strip().lower()
    language, _, region = first.partition("-")
    if language == "en":
        return {"us": "us", "gb": "uk", "au": "uk", "ie": "uk", "nz": "uk"}.get(region, "international")
    if first in ("de-ch", "de-li"):
        return "international"
    if language in _CONTINENTAL:
        return "continental"
    return "french" if language in _FRENCH else "iso" if language in _ISO else "international"


def style_of(cookies: Mapping[str, str], languages: str) -> Style:
    """The style of a visit: what was chosen, else what the browser's language has."""
    locale = LOCALES.get(cookies.get("locale", "")) or LOCALES[locale_of(languages)]
    return msgspec.structs.replace(locale.style, rates_in_bytes=cookies.get("units") == "bytes")


def choices(fields: Mapping[str, str]) -> dict[str, str]:
    """Cookies by name of what a form chose; empty takes one away, and what is no choice is left out."""
    found = {}
    if fields.get("theme") in THEMES:
        found["theme"] = fields["theme"]
    if fields.get("units") in UNITS:
        found["units"] = fields["units"]
    if fields.get("locale") == "automatic" or fields.get("locale") in LOCALES:
        found["locale"] = "" if fields["locale"] == "automatic" else fields["locale"]
    if fields.get("zone") == "automatic" or find_zone(fields.get("zone")):
        found["zone"] = "" if fields["zone"] == "automatic" else fields["zone"]
    return found
