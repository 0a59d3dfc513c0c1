"""One application, one domain, one host: its timeline, and who and what it moved bytes with."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, TypeVar

import msgspec
from litestar import Response, get
from litestar.params import FromPath

from netally.contracts.browser_sites import DomainSiteAnswer
from netally.contracts.domain_display import display_name
from netally.contracts.queries import (
    ApplicationAnswer,
    ApplicationHostsAnswer,
    ApplicationsAnswer,
    BandwidthAnswer,
    BrowsersAnswer,
    ConservationAnswer,
    DomainAnswer,
    DomainsAnswer,
    HostAnswer,
    HostsAnswer,
    TimelineAnswer,
)
from netally.web.api_client import ApiProblem
from netally.web.asked import Asked, asked_by
from netally.web.browser_sites import domain_sites
from netally.web.charts import timeline
from netally.web.conservation import conservation
from netally.web.detail_tables import (
    NAME_EVIDENCE,
    PROCESS_EVIDENCE,
    ROWS,
    browsers_table,
    counters,
    found_table,
    hosts_of_application,
    hosts_with_traffic,
    interface_lines,
    names_beside,
    setting_rows,
    waiting_words,
)
from netally.web.figures import percent
from netally.web.filter_box import joined
from netally.web.operations import INTERVALS
from netally.web.ranged_page import drawn, settle
from netally.web.tables import (
    STATES,
    Table,
    applications_table,
    domains_table,
    host_list,
    lost_words,
    quoted,
    stored_name,
)
from netally.web.visits import AnyRequest

T = TypeVar("T")

SPLITS = {"none": "In and out", "app": "By application", "domain": "By domain", "host": "By host"}
FEW = slice(ROWS)


def _split(asked: Asked, *able: str) -> str:
    wanted = asked.own.get("split", "none")
    return wanted if wanted in able else "none"


def _steps(asked: Asked, name: str, choices: dict[str, str], now: str) -> list[tuple[str, str, bool]]:
    """(query, words, current) of the links that change a parameter; the first choice is the default."""
    default = next(iter(choices))
    return [(asked.here(**{name: "" if key == default else key}), words, key == now) for key, words in choices.items()]


async def _about(asked: Asked, path: str, kind: type[T]) -> tuple[T, Asked, dict[str, Any]]:
    """The answer about one thing, what else may be read, and how the page says that its filter was refused: then all of
    it is read without.
    """
    read = asked.visit.api.together
    try:
        return await read(asked.read(path, kind)), asked, {}
    except ApiProblem as problem:
        if not asked.filter:
            raise
        box, status = asked.refused(problem), problem.status
    plain = asked.unfiltered()
    return await read(plain.read(path, kind)), plain, {"box": box, "status": status}


@get("/applications/{app_id:int}", include_in_schema=False)
async def application_page(request: AnyRequest, app_id: FromPath[int]) -> Response[str]:
    shown = asked_by(request, {"split": "none"})
    path = f"/api/applications/{app_id}"
    answer, asked, fault = await _about(shown, path, ApplicationAnswer)
    split = _split(asked, "domain", "host")
    line, domains, hosts, everything = await asked.visit.api.together(
        asyncio.gather(
            settle(_timeline(asked, f"{path}/timeline", split)),
            settle(asked.read(f"{path}/domains", DomainsAnswer, limit=ROWS + 1)),
            settle(asked.read(f"{path}/hosts", ApplicationHostsAnswer)),
            settle(asked.read("/api/applications", ApplicationsAnswer, limit=1)),
        )
    )
    zone, now = asked.visit.zone, asked.visit.now
    name = answer.name or "no process"
    condition = f"app = {quoted(answer.name)}" if answer.name else "app = none"
    return shown.page(
        "application.html.j2",
        name,
        answer.meta,
        **fault,
        thing=name,
        answer=answer,
        line=drawn(line, TimelineAnswer, lambda found: timeline(found, zone, now, split=split)),
        split=split,
        splits=_steps(asked, "split", {key: SPLITS[key] for key in ("none", "domain", "host")}, split),
        domains=drawn(domains, DomainsAnswer, lambda found: _plain(domains_table(found, zone, now, shown=FEW))),
        hosts=drawn(hosts, ApplicationHostsAnswer, lambda found: hosts_of_application(found, zone, now)),
        found=found_table(answer.attributed, answer.attributed_from, answer.meta.start, PROCESS_EVIDENCE, zone, now),
        share=_share(answer, everything),
        narrowed=joined(asked.filter, condition),
        condition=condition,
    )


async def _timeline(asked: Asked, path: str, split: str, **more: str) -> TimelineAnswer:
    """One series for each of the largest of ``split``; one series when there was no traffic, which still tells what was
    measured.
    """
    answer = await asked.read(path, TimelineAnswer, split=split, **more)
    return answer if answer.series else await asked.read(path, TimelineAnswer, **more)


def _plain(table: Table) -> Table:
    """Without second lines, which would all say the name of the page."""
    return msgspec.structs.replace(table, rows=[msgspec.structs.replace(row, note="") for row in table.rows])


def _share(
    answer: ApplicationAnswer | DomainAnswer, everything: ApplicationsAnswer | DomainsAnswer | ApiProblem
) -> str:
    if isinstance(everything, ApiProblem):
        return percent(None)
    total = everything.total_bytes_in + everything.total_bytes_out
    return percent((answer.bytes_in + answer.bytes_out) / total) if total else percent(None)


STEPS = {"auto": "To fit", "hourly": "Hourly", "daily": "Daily"}


@get("/domains/{domain_id:int}", include_in_schema=False)
async def domain_page(request: AnyRequest, domain_id: FromPath[int]) -> Response[str]:
    shown = asked_by(request, {"split": "none", "step": "auto"})
    path = f"/api/domains/{domain_id}"
    answer, asked, fault = await _about(shown, path, DomainAnswer)
    split = _split(asked, "app", "host")
    step = asked.own.get("step", "auto")
    step = step if step in STEPS else "auto"
    api = asked.visit.api
    condition = f"domain = {quoted(answer.name)}" if answer.name else "domain = none"
    narrowed = joined(asked.filter, condition)
    owner = f"domain under {quoted(answer.registrable)}" if answer.registrable else condition
    line, browsers, applications, hosts, beside, everything, site = await api.together(
        asyncio.gather(
            settle(_timeline(asked, f"{path}/timeline", split, step=step)),
            settle(asked.read(f"{path}/browsers", BrowsersAnswer)),
            settle(asked.read(f"{path}/applications", ApplicationsAnswer, limit=ROWS + 1)),
            settle(asked.read("/api/hosts", HostsAnswer, filter=narrowed)),
            settle(asked.read("/api/domains", DomainsAnswer, group="registrable", limit=2, filter=owner)),
            settle(asked.read("/api/domains", DomainsAnswer, limit=1)),
            settle(asked.read(f"{path}/site", DomainSiteAnswer)),
        )
    )
    zone, now = asked.visit.zone, asked.visit.now
    name = display_name(answer.name) or "no name"
    return shown.page(
        "domain.html.j2",
        name,
        answer.meta,
        **fault,
        thing=name,
        answer=answer,
        line=drawn(line, TimelineAnswer, lambda found: timeline(found, zone, now, split=split)),
        split=split,
        splits=_steps(asked, "split", {key: SPLITS[key] for key in ("none", "app", "host")}, split),
        steps=_steps(asked, "step", STEPS, step),
        browsers=drawn(browsers, BrowsersAnswer, lambda found: browsers_table(found, zone, now)),
        applications=drawn(
            applications, ApplicationsAnswer, lambda found: applications_table(found, zone, now, shown=FEW)
        ),
        hosts=drawn(hosts, HostsAnswer, hosts_with_traffic),
        beside=drawn(beside, DomainsAnswer, lambda found: names_beside(found, answer.name, zone, now)),
        found=found_table(answer.sources, answer.sources_from, answer.meta.start, NAME_EVIDENCE, zone, now),
        share=_share(answer, everything),
        site=drawn(site, DomainSiteAnswer, domain_sites),
        narrowed=narrowed,
        owner=owner,
        owner_name=display_name(answer.registrable),
        stored=stored_name(answer.name),
    )


@get("/hosts/{host_id:int}", include_in_schema=False)
async def host_page(request: AnyRequest, host_id: FromPath[int]) -> Response[str]:
    shown = asked_by(request, {"split": "app"})
    path = f"/api/hosts/{host_id}"
    answer, asked, fault = await _about(shown, path, HostAnswer)
    split = asked.own.get("split", "app")
    split = split if split in ("none", "app", "domain") else "app"
    api, host = asked.visit.api, answer.host
    line, applications, domains, tally, bandwidth = await api.together(
        asyncio.gather(
            settle(_timeline(asked, "/api/stats/timeline", split, host=host.name)),
            settle(asked.read("/api/applications", ApplicationsAnswer, limit=ROWS + 1, host=host.name)),
            settle(asked.read("/api/domains", DomainsAnswer, limit=ROWS + 1, host=host.name)),
            settle(asked.unfiltered().read(f"{path}/conservation", ConservationAnswer)),
            settle(api.bandwidth(asked.visit.reader)),
        )
    )
    zone, now = asked.visit.zone, asked.visit.now
    live = bandwidth.hosts if isinstance(bandwidth, BandwidthAnswer) else []
    await asked.visit.know_role()
    return shown.page(
        "host.html.j2",
        host.name,
        answer.meta,
        **fault,
        host=host,
        answer=answer,
        cell=host_list([host], live, zone, now),
        mark=STATES.get(host.state, "silent"),
        lost=lost_words(host) or "nothing",
        waiting=waiting_words(answer),
        line=drawn(line, TimelineAnswer, lambda found: timeline(found, zone, now, split=split)),
        split=split,
        splits=_steps(
            asked, "split", {"app": SPLITS["app"], "domain": SPLITS["domain"], "none": SPLITS["none"]}, split
        ),
        applications=drawn(
            applications, ApplicationsAnswer, lambda found: applications_table(found, zone, now, shown=FEW)
        ),
        domains=drawn(domains, DomainsAnswer, lambda found: domains_table(found, zone, now, shown=FEW)),
        counters=drawn(tally, ConservationAnswer, counters),
        conserved=conservation(tally.causes) if isinstance(tally, ConservationAnswer) else None,
        settings=setting_rows(answer.settings, host.interval),
        interfaces=interface_lines(answer),
        intervals=INTERVALS,
        key=secrets.token_hex(8),
        narrowed=joined(asked.filter, f"host = {quoted(host.name)}"),
    )
