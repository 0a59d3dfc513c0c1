from __future__ import annotations

from zoneinfo import ZoneInfo

import jinja2
import pytest
from selectolax.lexbor import LexborHTMLParser

from netally.web import rendering
from netally.web.visits import VERSION
from tests.unit.web.test_pages import one

NOON = 1_795_348_800_000
"""2026-11-22T12:00:00Z."""


def test_names_from_the_network_are_escaped_and_missing_ones_are_errors() -> None:
    template = rendering.environment().from_string("<td>{{ name }}</td>")
    assert template.render(name='<script src="//evil.test">') == "<td>&lt;script src=&#34;//evil.test&#34;&gt;</td>"
    with pytest.raises(jinja2.UndefinedError):
        template.render()


def test_times_are_written_in_the_viewers_zone() -> None:
    berlin = rendering.times(ZoneInfo("Europe/Berlin"), NOON)
    assert berlin["moment"](NOON) == "13:00"
    assert berlin["iso"](NOON).startswith("2026-11-22T13:00:00")
    assert rendering.times(ZoneInfo("Asia/Kolkata"), NOON)["moment"](NOON) == "17:30"


def test_the_frame_says_where_one_is_and_in_which_theme() -> None:
    frame = rendering.Frame("Sign in", "/login", "dark", "UTC", "UTC", True, VERSION, "/login", signed_in=False)
    tree = LexborHTMLParser(rendering.render("login.html.j2", frame=frame, problem="Wrong <code>.", back="/hosts"))
    assert one(tree, "html").attributes["data-theme"] == "dark"
    assert one(tree, "head > title").text() == "Sign in · Netally"
    assert one(tree, "[role=alert]").text(strip=True) == "Wrong <code>."
    assert one(tree, "main input[name=back]").attributes["value"] == "/hosts"
