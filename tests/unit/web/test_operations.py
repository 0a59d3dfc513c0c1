from __future__ import annotations

import itertools
from typing import Any

import httpx
import msgspec
import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode

from netally.contracts.command_answers import CommandOrder, CommandRow, HostConfig, RetentionBody
from netally.contracts.commands import COMMANDS
from netally.web.operations import SET_BY_HAND, host_line
from tests.fake_api import EXPORTED, FakeApi, now_ms
from tests.services import wait_until
from tests.unit.web.conftest import Site

EXPORT = {"from": "2026-11-20T00:00", "to": "2026-11-21T00:00", "tier": "1h", "format": "csv"}


def one(tree: LexborHTMLParser | LexborNode, selector: str) -> LexborNode:
    (found,) = tree.css(selector)
    return found


def page(site: Site, path: str = "/operations") -> LexborHTMLParser:
    return LexborHTMLParser(site.html(path))


def page_of(site: Site, form: str) -> LexborHTMLParser:
    """The page that has the form."""
    return page(site, "/settings" if form in SET_BY_HAND else "/operations")


def send(site: Site, form: str, **fields: str) -> httpx.Response:
    """Post a form with all that it has on the page, and other values for some fields."""
    found = page_of(site, form).css(f'form[action="/operations/{form}"]')[0]
    values = {
        name: node.attributes.get("value") or ""
        for node in found.css("input[name]")
        if (name := node.attributes.get("name"))
        and (node.attributes.get("type") not in ("radio", "checkbox") or "checked" in node.attributes)
    }
    for node in found.css("select[name]"):
        chosen = node.css("option[selected]") or node.css("option")
        values[node.attributes["name"] or ""] = chosen[0].attributes.get("value") or chosen[0].text()
    return site.client.post(f"/operations/{form}", data={**values, **fields})


def ordered(site: Site, form: str, **fields: str) -> CommandRow:
    """The command that a form led to."""
    answer = send(site, form, **fields)
    assert answer.status_code == 303, answer.text
    command = site.fake.ledger[-1]
    assert answer.headers["location"] == f"/operations/commands/{command.id}"
    return command


def text(node: LexborNode) -> str:
    return " ".join(node.text(separator=" ").replace("\u00a0", " ").replace("\u2009", " ").split())


def test_there_is_a_form_for_every_command_and_none_without_effect(site: Site) -> None:
    by_page = [
        {form.attributes["action"] or "" for form in page(site, path).css("main form[method=post]")}
        for path in ("/operations", "/settings")
    ]
    # One place for each.
    assert not by_page[0] & by_page[1]
    actions = by_page[0] | by_page[1]
    assert {f"/operations/{name}" for name in COMMANDS} - {
        "/operations/cancel",
        "/operations/save-view",
        "/operations/delete-view",
        # On a page of their own.
        "/operations/create-token",
        "/operations/revoke-token",
    } <= actions | {"/operations/resume"}
    assert actions <= {f"/operations/{name}" for name in COMMANDS} | {"/appearance", "/logout"}
    for action in sorted(actions - {"/appearance", "/logout"}):
        answer = send(site, action.removeprefix("/operations/"), name="x")
        assert answer.status_code == 303
        assert site.fake.ledger[-1].name == action.removeprefix("/operations/")
    assert page(site, "/operations").css("#ledger tbody tr")


def test_a_command_leads_to_its_own_page_with_outcome_and_events(site: Site) -> None:
    command = ordered(site, "aggregate", tier="1h")
    assert (command.arguments, command.dry_run) == ({"tier": "1h"}, False)
    tree = page(site, f"/operations/commands/{command.id}")
    assert text(one(tree, "h1")) == "Run aggregation done"
    assert "64 buckets and 41 207 rows written." in text(one(tree, ".note"))
    events = [text(node) for node in tree.css("[aria-labelledby=h-e] tbody th")]
    assert events == ["queued", "running", "done"]
    assert not tree.css("[hx-sse\\:connect]")
    assert not tree.css("noscript")


def test_the_same_form_sent_twice_runs_once(site: Site) -> None:
    fields = {"key": "one-form", "tier": "all"}
    first, second = (site.client.post("/operations/aggregate", data=fields) for _ in range(2))
    assert first.headers["location"] == second.headers["location"]
    assert len(site.fake.ledger) == 1


def test_nothing_is_deleted_before_its_size_was_typed(site: Site) -> None:
    preview = ordered(site, "cleanup")
    assert preview.dry_run
    path = f"/operations/commands/{preview.id}"
    tree = page(site, path)
    words = text(one(tree, "#command"))
    for said in ("Nothing is changed yet", "555 120 344", "22.2", "You lose single connections", "You keep the bytes"):
        assert said in words
    for typed in ("", "22 GB", "delete"):
        answer = site.client.post(f"{path}/confirm", data={"size": typed})
        assert answer.status_code == 400
        field = one(LexborHTMLParser(answer.text), "[aria-invalid]")
        problem = one(LexborHTMLParser(answer.text), f"#{field.attributes['aria-describedby']}")
        assert "type 22.2 GB" in text(problem)
    assert len(site.fake.ledger) == 1
    answers = [site.client.post(f"{path}/confirm", data={"size": "22.2 gb"}) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {303}
    assert [(row.name, row.dry_run) for row in site.fake.ledger] == [("cleanup", True), ("cleanup", False)]
    assert "555 120 344 rows (22.2 GB) deleted" in text(one(page(site, answers[0].headers["location"]), ".note"))


def test_a_preview_is_carried_out_with_the_arguments_it_had(site: Site) -> None:
    preview = ordered(site, "set-retention", raw="30", minutes="180", hours="1825")
    site.client.post(f"/operations/commands/{preview.id}/confirm", data={"size": "22.2 GB", "raw": "1"})
    assert site.fake.ledger[-1].arguments == preview.arguments
    assert not site.fake.ledger[-1].dry_run


def test_an_old_preview_is_not_carried_out(site: Site) -> None:
    preview = ordered(site, "cleanup")
    old = msgspec.structs.replace(preview, ended_at=now_ms() - 16 * 60_000)
    site.fake.ledger[-1] = old
    answer = site.client.post(f"/operations/commands/{preview.id}/confirm", data={"size": "22.2 GB"})
    assert answer.status_code == 409
    assert "Preview again" in answer.text
    assert len(site.fake.ledger) == 1


@pytest.mark.parametrize(
    ("form", "fields", "field", "words"),
    [
        ("aggregate", {"to": "2026-11-21T00:00"}, "from", "An end needs a start."),
        ("export", {"from": "2026-11-21T00:00", "to": "2026-11-20T00:00"}, "from", "does not lie before to"),
        ("export", {"tier": "2h"}, "tier", "Tier: invalid enum value '2h'."),
        ("set-retention", {"raw": "0"}, "raw", "from 1 to 36500"),
        ("purge", {"name": ""}, "name", "Enter the name"),
    ],
)
def test_a_refused_form_comes_back_with_the_reason_at_its_field(
    site: Site, form: str, fields: dict[str, str], field: str, words: str
) -> None:
    answer = send(site, form, **fields)
    assert answer.status_code == 400
    wrong = one(LexborHTMLParser(answer.text), "[aria-invalid]")
    assert wrong.attributes["name"] == field
    assert "autofocus" in wrong.attributes
    tree = LexborHTMLParser(answer.text)
    assert words in one(tree, f"#{wrong.attributes['aria-describedby']}").text()
    for name, value in fields.items():
        if name != "tier":
            shown = tree.css(f'form[action="/operations/{form}"] input[name="{name}"]')[0]
            assert (shown.attributes["value"] or "") == value


def test_what_only_the_aggregator_can_tell_comes_back_to_the_form_too(site: Site) -> None:
    site.fake.results["purge dry"] = ("failed", "there is no domain 'x.example'", {"field": "domain"})
    answer = send(site, "purge", name="x.example")
    assert answer.status_code == 400
    tree = LexborHTMLParser(answer.text)
    assert one(tree, "[aria-invalid]").attributes["name"] == "name"
    assert one(tree, "#e-purge-name").text() == "There is no domain 'x.example'."


@pytest.mark.parametrize("status", [409, 503])
def test_an_order_that_was_not_taken_says_so_above_its_form(site: Site, status: int) -> None:
    key = page(site).css("input[name=key]")[0].attributes["value"]
    site.fake.refuses_orders = status
    answer = site.client.post("/operations/cleanup", data={"key": str(key)})
    assert answer.status_code == status
    note = one(LexborHTMLParser(answer.text), "[aria-labelledby=o-cleanup] [role=alert]")
    assert "The bus is away." in text(note)
    assert "Nothing was done." in text(note)


def test_a_waiting_command_says_that_no_aggregator_runs(site: Site) -> None:
    site.fake.aggregator = False
    command = ordered(site, "aggregate")
    tree = page(site, f"/operations/commands/{command.id}")
    assert "Waiting: no aggregator is running." in text(one(tree, ".note"))
    assert text(one(tree, f'form[action="/operations/commands/{command.id}/cancel"]')) == "Take back"
    assert one(tree, "#command").attributes["hx-sse:connect"] == f"/operations/commands/{command.id}/events"
    assert "http-equiv" in site.html(f"/operations/commands/{command.id}")
    tree = page(site)
    assert "No aggregator is running: commands wait." in text(one(tree, ".note.partial"))
    assert one(tree, "#ledger").attributes["hx-trigger"] == "every 3s"


def test_a_running_command_is_followed_and_stopped(site: Site) -> None:
    site.fake.holds = True
    command = ordered(site, "export", **EXPORT)
    site.fake.tell(command.id, "progress", "630 rows", {"share": 0.63})
    path = f"/operations/commands/{command.id}"
    assert one(page(site, path), "progress").attributes["value"] == "63.0"
    answer = site.client.post(f"{path}/cancel")
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert "Cancelled: Stopped by admin." in site.html(path)


def test_the_stream_follows_a_command_to_its_end(site: Site) -> None:
    site.fake.holds = True
    command = ordered(site, "aggregate")
    with site.client.stream("GET", f"/operations/commands/{command.id}/events", timeout=10) as stream:
        # Packed, an event would wait for the next ones.
        assert "content-encoding" not in stream.headers
        lines = stream.iter_lines()
        assert "running" in next(line for line in lines if "<h1>" in line)
        site.fake.tell(command.id, "progress", "tier 1h, 2 of 4")
        assert "Tier 1h, 2 of 4, 25" in next(line for line in lines if 'id="how-far"' in line and "2 of 4" in line)
        site.fake.finish(command.id)
        rest = list(lines)
    assert any("done" in line for line in rest if "<h1>" in line)
    assert rest[-3:] == ["event: ended", "data: ended", ""]
    wait_until(lambda: site.fake.live_streams == 0)


def test_an_export_is_downloaded_from_its_page(site: Site) -> None:
    command = ordered(site, "export", **EXPORT, filter="port = 443")
    assert command.arguments["filter"] == "port = 443"
    link = one(page(site, f"/operations/commands/{command.id}"), "a[download]")
    answer = site.client.get(str(link.attributes["href"]))
    assert answer.content == EXPORTED
    assert "netally-1h.csv" in answer.headers["content-disposition"]


def test_a_host_is_paused_set_and_resumed_by_its_name(site: Site) -> None:
    site.fake.paused, site.fake.lagging = ["lap-03"], ["nas-01"]
    rows = page_of(site, "pause").css("[aria-labelledby=o-hosts] tbody tr")
    hosts = {row.css("th")[0].text(): text(row) for row in rows}
    assert len(hosts) == 4
    paused = next(words for name, words in hosts.items() if "lap-03" in name)
    assert "paused" in paused
    assert "Resume" in paused
    assert ordered(site, "resume", hosts="lap-03").arguments == {"hosts": ["lap-03"]}
    assert ordered(site, "pause", hosts="").arguments == {}
    assert ordered(site, "set-interval", hosts="nas-01", interval="10").arguments == {
        "hosts": ["nas-01"],
        "interval": 10,
    }


def test_a_host_that_does_not_follow_says_what_is_wanted() -> None:
    host = HostConfig("nas-01", 3, 2, True, False, 10, 5, None, False)
    line = host_line(host)
    assert (line.mark, line.words, line.wanted) == ("late", "capturing", "paused, every 10\u00a0s")
    following = host_line(msgspec.structs.replace(host, follows=True, actual_paused=True, actual_interval=10))
    assert (following.mark, following.words, following.wanted) == ("paused", "paused", "")


def test_the_ledger_is_newest_first_paged_and_filtered(site: Site) -> None:
    for number in range(30):
        site.fake.order(CommandOrder("aggregate" if number % 2 else "pause"))
    tree = page(site)
    rows = [text(row.css("td")[0]) for row in tree.css("#ledger tbody tr")]
    assert rows == ["Run aggregation", "Pause capture"] * 12 + ["Run aggregation"]
    link = str(one(tree, "#ledger a[rel=next]").attributes["href"])
    assert len(page(site, link).css("#ledger tbody tr")) == 5
    rows = [text(row.css("td")[0]) for row in page(site, "/operations?command=pause").css("#ledger tbody tr")]
    assert rows == ["Pause capture"] * 15
    assert "No command matches." in site.html("/operations?state=expired")
    for odd in ("command=drop", "state=x", "command=<script>"):
        assert len(page(site, f"/operations?{odd}").css("#ledger tbody tr")) == 25


def test_the_first_visit_says_what_there_will_be(site: Site) -> None:
    site.fake.hosts, site.fake.retention = [], None
    words = " ".join(text(one(page(site, path), "main")) for path in ("/operations", "/settings"))
    for said in ("No command was ever given.", "No host has reported yet.", "aggregator's own defaults count"):
        assert said in words


@pytest.mark.parametrize(
    ("path", "broken", "form"),
    [
        ("/operations", "/api/commands", "export"),
        ("/settings", "/api/config", "set-retention"),
        ("/settings", "/api/commands", "set-log-level"),
    ],
)
def test_a_part_that_cannot_be_read_does_not_take_the_page_with_it(
    site: Site, path: str, broken: str, form: str
) -> None:
    site.fake.broken = {broken: 503}
    tree = page(site, path)
    told = "The database did not answer within 5 s." in text(one(tree, "main"))
    # Settings show nothing of the ledger but what came of the last order.
    assert told == ((path, broken) != ("/settings", "/api/commands"))
    assert tree.css(f'form[action="/operations/{form}"]')


def test_forms_of_other_sites_are_refused(site: Site) -> None:
    preview = ordered(site, "cleanup")
    own = f"/operations/commands/{preview.id}"
    for path, origin in itertools.product(
        ("/operations/aggregate", f"{own}/confirm", f"{own}/cancel"), ("http://evil.example", "null")
    ):
        answer = site.client.post(path, data={"size": "22.2 GB"}, headers={"Origin": origin})
        assert answer.status_code == 403
    assert len(site.fake.ledger) == 1


@pytest.mark.parametrize(
    "path", ["/operations/commands/x", f"/operations/commands/{'0' * 32}", f"/operations/commands/{'0' * 32}/events"]
)
def test_a_command_that_is_not_there_is_a_404(site: Site, path: str) -> None:
    assert site.client.get(path).status_code == 404


def test_no_form_posts_what_is_no_command(site: Site) -> None:
    for name in ("cancel", "drop-all", "commands"):
        assert site.client.post(f"/operations/{name}", data={}).status_code == 404


def test_names_in_commands_are_text(site: Site) -> None:
    evil = "</script><img src=x onerror=alert(1)>\"'&"
    row = site.fake.order(CommandOrder("purge", {"domain": evil}, dry_run=True))
    site.fake.ledger[-1] = msgspec.structs.replace(row, actor=evil, message=evil, name=evil, target=evil, state=evil)
    for path in ("/operations", f"/operations/commands/{row.id}"):
        html = site.html(path)
        assert "<img" not in html
        assert "&lt;img" in html


def test_without_a_session_a_form_leads_back_to_the_page_after_signing_in(site: Site) -> None:
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        answer = client.post("/operations/cleanup", data={})
        assert answer.status_code == 401
        assert 'name="back" value="/operations"' in answer.text


def test_the_fake_answers_as_the_contracts_say() -> None:
    fake = FakeApi()
    refused: Any = fake.order(CommandOrder("export", {"from": 5}))
    assert (refused.state, refused.field) == ("failed", "from")


def settings(site: Site) -> LexborHTMLParser:
    return page(site, "/settings")


def test_the_settings_page_has_what_is_set_by_hand(site: Site) -> None:
    tree = settings(site)
    headings = [node.text(deep=False).strip() for node in tree.css("h2[id^=o-]")]
    assert headings == ["Appearance", "Retention", "Logs and settings", "Hosts"]
    actions = {(form.attributes["action"] or "").rpartition("/")[2] for form in tree.css("main form[method=post]")}
    assert actions == {
        "appearance", "set-retention", "set-log-level", "set-config", "set-naming-rules", "set-interval", "pause",
        "resume",
    }  # fmt: skip
    assert {name.rpartition("/")[2] for name in actions} - {"appearance"} == SET_BY_HAND


def test_a_refused_setting_comes_back_to_the_settings_page(site: Site) -> None:
    answer = site.client.post("/operations/set-retention", data={"raw": "none"})
    assert answer.status_code == 400
    tree = LexborHTMLParser(answer.text)
    assert one(tree, "h1").text() == "Settings"
    assert one(tree, "input[name=raw]").attributes["value"] == "none"
    assert "whole number" in one(tree, "#e-set-retention-raw").text()


def test_a_role_that_may_not_is_told_so_beside_the_form(site: Site) -> None:
    site.fake.refuses_orders = 403
    answer = site.client.post("/operations/pause", data={"hosts": "nas-01"})
    assert answer.status_code == 403
    assert "Nothing was done." in one(LexborHTMLParser(answer.text), "[role=alert]").text()


def test_the_cost_of_the_retention_is_of_the_one_in_force(site: Site) -> None:
    assert "What it costs" not in settings(site).css_first("main").text()  # type: ignore[union-attr]
    ordered(site, "set-retention", raw="30")
    # The preview was about 30 days; 60 are in force, at the rate that it measured.
    site.fake.retention = RetentionBody(60, 180, 1825, 3650)
    rows = {text(row.css("th")[0]): text(row) for row in settings(site).css("[aria-labelledby=o-retention] tbody tr")}
    assert rows["Flows"] == "Flows 60 d 1.3 78.2"
    assert rows["1 day"].endswith("2.6")


def test_appearance_is_kept_and_shown(site: Site) -> None:
    chosen = {"back": "/settings", "theme": "dark", "units": "bytes", "locale": "us", "zone": "Asia/Tokyo"}
    answer = site.client.post("/appearance", data=chosen)
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
    cookies = "; ".join(line.partition(";")[0].replace('"', "") for line in answer.headers.get_list("set-cookie"))
    html = site.html("/settings", Cookie=cookies)
    tree = LexborHTMLParser(html)
    assert one(tree, "html").attributes["data-theme"] == "dark"
    assert "Times in Asia/Tokyo (UTC+9)" in html
    assert [node.attributes["value"] for node in tree.css(".appearance input[checked]")] == ["dark", "bytes"]
    assert [node.text() for node in tree.css(".appearance option[selected]")] == [
        "Asia/Tokyo",
        "1,234.5 · Nov 19, 2026 · 2:05 PM",
    ]
    overview = site.html("/?range=24h", Cookie=cookies)
    assert "MB/s, 5-minute means" in overview
    assert "\u00a0PM</dd>" in overview or "\u00a0AM</dd>" in overview
    cleared = site.client.post("/appearance", data={"zone": "automatic", "locale": "automatic"})
    assert all("Max-Age=0" in line for line in cleared.headers.get_list("set-cookie"))
