from __future__ import annotations

import re
from pathlib import Path

import httpx

import netally.web.components
from netally.web.app import create_app
from netally.web.settings import WebSettings
from tests.fake_api import FakeApi, create_fake, serve
from tests.unit.web.conftest import Site

TEMPLATES = Path(netally.web.components.__file__).parent / "templates"
COMPOSED = {"traffic_part", "shares_part"}
"""Macros made of those that it shows."""
ELSEWHERE = COMPOSED | {
    "carried",
    "chart_files",
    "live_files",
    "pause_button",
    "piece",
    "stale_note",
    "to",
    "linked",
    "named",
    "filter_files",
}
"""Macros that show nothing by themselves, or only with the script."""


def test_the_page_is_for_development_alone(site: Site) -> None:
    site.html("/_components", status=404)


def test_every_macro_is_on_it() -> None:

    with (
        serve(create_fake(FakeApi())) as api,
        serve(create_app(WebSettings(api_url=api, development=True))) as url,
    ):
        html = httpx.get(f"{url}/_components", trust_env=False).text
    assert html.count("<traffic-chart") == 4
    assert "paused" in html
    source = (TEMPLATES / "components.html.j2").read_text()
    for name in ("_parts.html.j2", "_charts.html.j2", "_filter.html.j2", "_tables.html.j2", "_details.html.j2"):
        macros = set(re.findall(r"{% macro (\w+)", (TEMPLATES / name).read_text())) - ELSEWHERE
        missing = {macro for macro in macros if not re.search(rf"{macro}\(", source)}
        assert not missing, f"{name} has macros that /_components does not show"
