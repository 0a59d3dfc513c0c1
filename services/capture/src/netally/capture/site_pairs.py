"""Which site caused a browser's flows: what its extension tells in, flow records with their `site` out. Pure.

The extension tells which hosts a site's pages asked for, a few seconds after they did. So an interval is held back
that long before it is joined, and a flow gets a site only where every page that asked for its host lately is of that
one site. Everything else keeps site 0.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec

from netally.capture.flow_records import Part
from netally.contracts.browsers import browser_of
from netally.contracts.codes import Role
from netally.contracts.flow import FlowRecord
from netally.contracts.tabs import TabsReported

HOLD_SECONDS: Final = 8.0
"""The extension reports at most every five seconds; the rest is for the way."""
MEMORY_SECONDS: Final = 120.0
"""So long after a request its connection may still carry what it asked for."""
ACTIVE_SECONDS: Final = 600.0
"""After its last report a browser counts as paired no more."""
MOST_HOSTS: Final = 10_000
MOST_SITES: Final = 8
"""Of one host; from the second on none is certain."""


class SitePairs:
    """What was told, by browser (lower case) and host. Times are seconds of this machine's clock."""

    def __init__(self) -> None:
        self._asked: OrderedDict[tuple[str, str], dict[str, float]] = OrderedDict()
        self._told_at = float("-inf")

    def heard(self, report: TabsReported, now: float) -> None:
        """A report that came at ``now``."""
        if report.pairs is None:
            return
        self._told_at = now
        for pair in report.pairs:
            key = (report.browser.lower(), pair.host)
            sites = self._asked.setdefault(key, {})
            self._asked.move_to_end(key)
            if pair.site in sites or len(sites) < MOST_SITES:
                sites[pair.site] = now
        while len(self._asked) > MOST_HOSTS:
            self._asked.popitem(last=False)

    def hold_seconds(self, now: float) -> float:
        """How long an interval that ends now waits to be joined: not at all where no browser tells anything."""
        return HOLD_SECONDS if now - self._told_at < ACTIVE_SECONDS else 0.0

    def site(self, browser: str, host: str, start: float) -> str | None:
        """The one site whose pages asked for the host from shortly before ``start`` on; None for none or several."""
        sites = self._asked.get((browser.lower(), host))
        if sites is None:
            return None
        lately = [site for site, at in sites.items() if at >= start - MEMORY_SECONDS]
        return lately[0] if len(lately) == 1 else None

    def join(self, part: Part, start: float) -> Part:
        """The part with the site of each flow where it is certain. ``start`` is the interval's."""
        browsers = [browser_of(app.name, app.executable) for app in part.apps]
        domains = {name: number for number, name in enumerate(part.domains)}
        records = [self._joined(record, browsers, part.domains, domains, start) for record in part.records]
        return Part(part.apps, list(domains), records)

    def _joined(
        self,
        record: FlowRecord,
        browsers: Sequence[str | None],
        names: Sequence[str],
        domains: dict[str, int],
        start: float,
    ) -> FlowRecord:
        browser = browsers[record.app]
        if browser is None or not record.domain or record.role != Role.CLIENT:
            return record
        site = self.site(browser, names[record.domain], start)
        if site is None:
            return record
        return msgspec.structs.replace(record, site=domains.setdefault(site, len(domains)))
