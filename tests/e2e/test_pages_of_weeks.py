"""The pages about history in a real browser, on the real API and a database with forty days in it: every figure is
compared with what was stored.
"""

from __future__ import annotations

import asyncio
import csv
import io
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import asyncpg
import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from netally.contracts.codes import Cause
from tests.api_in_process import BEARER
from tests.e2e.test_pages import CHROMIUM, FLAGS
from tests.services import PostgresServer
from tests.stored_traffic import StoredFlow
from tests.stored_weeks import APPS, DAY, DOMAINS, GAP, HOUR, NOW, ZONE, Weeks, weeks_served

pytestmark = pytest.mark.browser


class Stay(msgspec.Struct):
    """A browser on the pages, and what went wrong in it."""

    page: Page
    weeks: Weeks
    faults: list[str]

    def open(self, path: str) -> Page:
        self.page.goto(self.weeks.url + path)
        return self.page

    def rows(self, part: str) -> list[list[str]]:
        """Texts of the cells of a part's table."""
        found: list[list[str]] = self.page.locator(f"[aria-labelledby={part}] tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
        )
        return found

    def figures(self, part: str, column: int) -> dict[str, float]:
        """First cell's first line and a column as a number."""
        return {row[0].split("\n")[0].strip(): number(row[column]) for row in self.rows(part)}


def number(text: str) -> float:
    return 0.04 if text.startswith("<") else float(re.sub(r"[^\d.−-]", "", text).replace("−", "-"))


@pytest.fixture(scope="module")
def weeks(postgres_server: PostgresServer, migrated_template: str) -> Iterator[Weeks]:
    url = postgres_server.url(f"t{uuid.uuid4().hex[:16]}")

    async def copy() -> None:
        connection = await asyncpg.connect(postgres_server.url("postgres"))
        await connection.execute(f'CREATE DATABASE "{url.rsplit("/", 1)[1]}" TEMPLATE "{migrated_template}"')
        await connection.close()

    asyncio.run(copy())
    with weeks_served(url) as served:
        yield served
    asyncio.run(postgres_server.drop_database(url))


@pytest.fixture(scope="module")
def browser(weeks: Weeks) -> Iterator[Browser]:
    # After the database, which is made in an event loop: Playwright has one of its own from now on.
    del weeks
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def stay(browser: Browser, weeks: Weeks) -> Iterator[Stay]:
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, timezone_id="Europe/Berlin", locale="en-DE", extra_http_headers=BEARER
    )
    context.set_default_timeout(15_000)
    found = Stay(context.new_page(), weeks, [])
    found.page.on(
        "console", lambda message: found.faults.append(message.text) if message.type in ("error", "warning") else None
    )
    found.page.on("pageerror", lambda error: found.faults.append(str(error)))
    yield found
    context.close()
    assert found.faults == []


WEEK = timedelta(days=7)
GB = 1e9


def by(keep: Callable[[StoredFlow], str], weeks: Weeks, since: timedelta) -> dict[str, float]:
    """GB in and out together by a name of each flow."""
    sums: dict[str, float] = {}
    start = (NOW - int(since.total_seconds() * 1000)) // HOUR * HOUR
    for flow in weeks.traffic.flows:
        if flow.time >= start:
            name = keep(flow)
            sums[name] = sums.get(name, 0) + (flow.bytes_in + flow.bytes_out) / GB
    return sums


def test_applications_lead_to_one_that_shows_what_was_stored(stay: Stay) -> None:
    page = stay.open("/applications?range=7d")
    ins = stay.figures("h-l", 2) if page.locator("#h-l").count() else {}
    assert ins == {}
    page.get_by_role("link", name="restic", exact=True).click()
    expect(page.locator("h1")).to_have_text("restic")
    stored_in, stored_out = stay.weeks.total(lambda flow: flow.app_id == 1, since=WEEK)
    facts = dict(
        zip(page.locator(".facts dt").all_inner_texts(), page.locator(".facts dd").all_inner_texts(), strict=True)
    )
    assert number(facts["Out, last 7 days"]) == pytest.approx(stored_out / GB, abs=0.06)
    assert number(facts["In, last 7 days"]) == pytest.approx(stored_in / 1e6, abs=0.06)
    assert facts["Connections opened"] == str(
        3 * sum(flow.app_id == 1 and flow.time >= (NOW - 7 * DAY) // HOUR * HOUR for flow in stay.weeks.traffic.flows)
    )
    assert [row[0].split("\n")[0] for row in stay.rows("h-d")] == ["f001.backblazeb2.com", "api.backblazeb2.com"]
    assert [row[0] for row in stay.rows("h-h")] == ["nas-01"]
    assert stay.rows("h-f")[0][0] == "Socket tables" if stay.rows("h-f") else True
    page.get_by_role("link", name="By domain").click()
    expect(page.locator("#timeline-legend tbody th").first).to_have_text("f001.backblazeb2.com")
    page.go_back()
    expect(page.locator("#timeline-legend tbody th").first).to_have_text("all traffic")


def test_domains_are_a_tree_whose_branches_add_up(stay: Stay) -> None:
    page = stay.open("/domains?range=7d")
    rows = stay.rows("h-l")
    heads = page.locator("[aria-labelledby=h-l] thead th").all_inner_texts()
    size_in, size_out = heads.index("In GB"), heads.index("Out GB")
    at = [row[0].split("\n")[0] for row in rows].index("github.com")
    assert [row[0] for row in rows[at + 1 : at + 4]] == ["codeload", "itself", "api"]
    assert sum(number(row[size_in]) for row in rows[at + 1 : at + 4]) == pytest.approx(
        number(rows[at][size_in]), abs=0.16
    )
    owned = by(lambda flow: DOMAINS[flow.domain_id], stay.weeks, WEEK)
    stored = owned["github.com"] + owned["api.github.com"] + owned["codeload.github.com"]
    assert number(rows[at][size_in]) + number(rows[at][size_out]) == pytest.approx(stored, abs=0.11)
    assert "git" in rows[at][1]
    assert "Firefox" in rows[at][1]
    page.get_by_role("link", name="github.com", exact=True).click()
    expect(page.locator("#filter")).to_have_value("domain under github.com")
    names = {row[0].split("\n")[0] for row in stay.rows("h-l")}
    assert names == {"github.com", "api.github.com", "codeload.github.com"}


def test_a_domain_by_browser_by_hour_and_by_day(stay: Stay) -> None:
    page = stay.open("/domains/3?range=7d")
    used = by(lambda flow: APPS[flow.app_id][0] if flow.domain_id == 3 else "", stay.weeks, WEEK)
    browsers = {row[0]: number(row[2]) + number(row[3]) for row in stay.rows("h-b")}
    assert browsers["Firefox"] == pytest.approx(used["firefox"], abs=0.11)
    assert browsers["Chrome"] == pytest.approx(used["chrome"], abs=0.11)
    assert browsers["no browser"] == pytest.approx(used["git"], abs=0.11)
    assert [row[0] for row in stay.rows("h-h")] == ["build-02", "lap-03"]
    page.get_by_role("link", name="Daily").click()
    expect(page.locator("#h-t")).to_contain_text("1-day means")
    data = msgspec.json.decode(page.locator("#timeline-data").inner_text())
    # Whole days of the viewer's zone: their bytes are rate times length.
    day = next(at for at, time in enumerate(data["times"]) if time * 1000 == midnight("2026-11-18"))
    stored = sum(
        flow.bytes_in
        for flow in stay.weeks.traffic.flows
        if flow.domain_id == 3 and midnight("2026-11-18") <= flow.time < midnight("2026-11-19")
    )
    assert data["bands"][0]["in"][day] == pytest.approx(stored * 8 / 86400 / 1e3, rel=0.01)
    page.get_by_role("link", name="Hourly").click()
    expect(page.locator("#h-t")).to_contain_text("1-hour means")


def midnight(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=ZONE).timestamp() * 1000)


def test_a_hosts_counters_are_its_causes(stay: Stay) -> None:
    stay.open("/hosts?range=7d")
    stay.page.get_by_role("link", name="build-02").click()
    start = (NOW - 7 * DAY) // HOUR * HOUR
    stored: dict[str, int] = {}
    for row in stay.weeks.counted:
        if row.host_id == 3 and row.time >= start:
            word = Cause(row.cause).label.replace("_", " ")
            stored[word] = stored.get(word, 0) + row.bytes_in + row.bytes_out
    rows = {row[0].removeprefix("▲ "): number(row[2]) for row in stay.rows("h-c")}
    assert set(rows) == set(stored)
    assert rows["attributed"] == pytest.approx(stored["attributed"] / GB, abs=0.06)
    assert rows["lost ring"] == 0.04
    foot = stay.page.locator("[aria-labelledby=h-c] tfoot td").all_inner_texts()
    assert number(foot[1]) == pytest.approx(sum(stored.values()) / GB, abs=0.06)
    expect(stay.page.get_by_role("button", name="Pause capture")).to_be_visible()


def test_a_usual_week_is_the_mean_of_its_hours(stay: Stay) -> None:
    page = stay.open("/history?from=2026-10-19T00:00&to=2026-11-02T00:00&tz=Europe/Berlin")
    sums: dict[tuple[int, int], float] = {}
    for flow in stay.weeks.traffic.flows:
        if midnight("2026-10-19") <= flow.time < midnight("2026-11-02"):
            local = datetime.fromtimestamp(flow.time / 1000, ZONE)
            key = local.weekday(), local.hour
            sums[key] = sums.get(key, 0) + (flow.bytes_in + flow.bytes_out) / GB
    cells = page.locator(".heat tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => cell.textContent))"
    )
    for weekday in range(7):
        for hour in range(24):
            # Clocks are turned back on Sunday 25 October: its hour from two is there twice, so three times in all.
            times = 3 if (weekday, hour) == (6, 2) else 2
            mean = sums.get((weekday, hour), 0) / times
            assert number(cells[weekday][hour]) == pytest.approx(mean, abs=0.06), (weekday, hour)


def test_days_hold_what_was_stored_and_the_gap_is_seen(stay: Stay) -> None:
    page = stay.open("/history?range=30d")
    page.get_by_text("Figures as a table").click()
    rows = {row[0].replace("\u00a0", " "): row for row in stay.rows("h-p")}
    stored = [0, 0]
    for flow in stay.weeks.traffic.flows:
        if midnight("2026-11-17") <= flow.time < midnight("2026-11-18"):
            stored[0] += flow.bytes_in
            stored[1] += flow.bytes_out
    day = rows["Tue 17 Nov 2026"]
    assert (number(day[1]), number(day[2])) == pytest.approx((stored[0] / GB, stored[1] / GB), abs=0.06)
    assert day[3] == "whole"
    gap = datetime.fromtimestamp(GAP[0] / 1000, ZONE)
    assert "of host-time" in rows[f"{gap:%a %-d %b %Y}"][3]
    assert rows["Fri 20 Nov 2026"][3] == "not over yet"


def test_two_ranges_are_compared_in_words(stay: Stay) -> None:
    page = stay.open("/history?from=2026-11-13T00:00&to=2026-11-20T00:00&tz=Europe/Berlin&against=week")
    sums: list[dict[str, float]] = [{}, {}]
    for flow in stay.weeks.traffic.flows:
        side = 0 if midnight("2026-11-13") <= flow.time < midnight("2026-11-20") else 1
        if side == 0 or midnight("2026-11-06") <= flow.time < midnight("2026-11-13"):
            name = APPS[flow.app_id][0] or "no process"
            sums[side][name] = sums[side].get(name, 0) + (flow.bytes_in + flow.bytes_out) / GB
    changes = {name: sums[0].get(name, 0) - sums[1].get(name, 0) for name in {*sums[0], *sums[1]}}
    rows = {row[0]: (number(row[2]), row[5]) for row in stay.rows("h-b")}
    assert set(rows) == set(changes)
    for name, change in changes.items():
        assert rows[name][0] == pytest.approx(change, abs=0.6), name
    assert rows["zoom"][1] == "gone"
    words = " ".join(page.locator(".words li").all_inner_texts())
    assert "zoom. Gone:" in words
    assert "Nearly all of it is production.cloudfront.docker.com." in words
    page.locator("#compare select[name=by]").select_option("host")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("#h-b")).to_have_text("By host")
    assert {row[0] for row in stay.rows("h-b")} == {"nas-01", "lap-03", "build-02"}


def test_explore_groups_filters_narrows_and_gives_csv(stay: Stay) -> None:
    page = stay.open("/explore?range=7d&by=app&then=host")
    stored = by(lambda flow: f"{APPS[flow.app_id][0] or 'no process'} {flow.host_id}", stay.weeks, WEEK)
    rows = stay.rows("h-g")
    assert len(rows) == len(stored)
    # A download is asked for without the headers that this browser adds, so it is read as a page's own script would.
    link = page.get_by_role("link", name=re.compile("CSV of"))
    answer = page.request.get(stay.weeks.url + str(link.get_attribute("href")))
    assert "attachment" in answer.headers["content-disposition"]
    text = answer.text()
    exact = {(row["app"], row["host"]): int(row["bytes_in"]) for row in csv.DictReader(io.StringIO(text))}
    start = (NOW - 7 * DAY) // (HOUR // 2) * (HOUR // 2)
    assert exact["restic", "nas-01"] == sum(
        flow.bytes_in for flow in stay.weeks.traffic.flows if flow.app_id == 1 and flow.time >= start
    )
    assert len(exact) == len(rows)
    page.get_by_role("link", name="only firefox, lap-03").click()
    expect(page.locator("#filter")).to_have_value("app = firefox and host = lap-03")
    assert [row[:2] for row in stay.rows("h-g")] == [["firefox", "lap-03"]]
    shared = page.url
    page.locator("select[name=then]").select_option("domain")
    page.get_by_role("button", name="Group", exact=True).click()
    expect(page.locator("#h-t")).to_contain_text("application and domain")
    page.go_back()
    assert page.url == shared
    page.reload()
    assert [row[:2] for row in stay.rows("h-g")] == [["firefox", "lap-03"]]


def test_a_filter_is_completed_by_keys_and_a_wrong_one_is_pointed_at(stay: Stay) -> None:
    page = stay.open("/explore?range=7d")
    page.keyboard.press("/")
    field = page.locator("#filter")
    expect(field).to_be_focused()
    field.press_sequentially("app = fire")
    offer = page.get_by_role("option", name=re.compile("firefox"))
    expect(offer).to_be_visible()
    expect(field).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(offer).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(field).to_have_value(re.compile("^app = firefox ?$"))
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("filter=app"))
    assert [row[0] for row in stay.rows("h-g")] == ["firefox"]
    page.locator("#filter").fill("app = firefox and port = = 3")
    page.keyboard.press("Enter")
    expect(page.locator("mark")).to_have_text("=")
    expect(page.locator("#filter-problem")).to_contain_text("column 26")
    expect(page.locator("#filter")).to_be_focused()
    stay.faults[:] = [fault for fault in stay.faults if "400" not in fault]


def test_dragging_over_a_chart_keeps_the_filter(stay: Stay) -> None:
    page = stay.open("/explore?range=7d&by=domain&filter=host+%3D+lap-03")
    box = page.locator("traffic-chart .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60, steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile(r"\?from=.*&to=.*filter=host"))
    expect(page.locator("#filter")).to_have_value("host = lap-03")


def test_without_scripts_lists_forms_and_tables_work(browser: Browser, weeks: Weeks) -> None:
    context = browser.new_context(java_script_enabled=False, extra_http_headers=BEARER)
    page = context.new_page()
    page.goto(f"{weeks.url}/explore?range=7d")
    page.locator("#filter").fill("host = nas-01")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("[aria-labelledby=h-g] tbody th")).to_have_text(["restic"])
    expect(page.locator("traffic-chart svg[role=img]")).to_be_visible()
    page.get_by_role("link", name="In + out").click()
    page.get_by_role("link", name="History", exact=True).click()
    expect(page.locator(".heat tbody tr")).to_have_count(7)
    context.close()


def test_from_a_list_into_a_page_by_keys_alone(stay: Stay) -> None:
    page = stay.open("/applications?range=7d")
    page.keyboard.press("t")
    page.keyboard.press("ArrowDown")
    name = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(name)
    # Keys are heard once the page's scripts are there, which is after its heading.
    page.wait_for_load_state()
    page.keyboard.press("g")
    page.keyboard.press("y")
    expect(page.locator("h1")).to_have_text("History, last 7 days")
    page.wait_for_load_state()
    page.keyboard.press("g")
    page.keyboard.press("e")
    expect(page.locator("h1")).to_have_text("Explore, last 7 days")
