"""The pages in a real browser, in front of a fake API whose figures the tests change."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from netally.web.app import create_app
from netally.web.settings import WebSettings
from tests.fake_api import CODE, COOKIE, FakeApi, create_fake, serve

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
BANDS_LIGHT = {"20,70,88,255", "154,134,13,255", "19,151,143,255"}
"""The colours c1 to c3 of the light scheme."""
PATHS = ("/", "/?range=24h", "/live", "/applications", "/domains", "/hosts", "/operations", "/settings")


class Reading(msgspec.Struct):
    """A browser's page, and what went wrong in it."""

    page: Page
    url: str
    fake: FakeApi
    faults: list[str]
    origins: set[str]

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[FakeApi, str]]:
    fake = FakeApi()
    with serve(create_fake(fake)) as api, serve(create_app(WebSettings(api_url=api, development=True))) as url:
        yield fake, url


@pytest.fixture(scope="module")
def chromium(served: tuple[FakeApi, str]) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def read(browser: Browser, fake: FakeApi, url: str, **options: Any) -> tuple[BrowserContext, Reading]:
    """A signed-in browser in Berlin."""
    fresh = FakeApi()
    for name in FakeApi.__struct_fields__:
        if name != "live_streams":
            setattr(fake, name, getattr(fresh, name))
    options = {"viewport": {"width": 1440, "height": 900}, "timezone_id": "Europe/Berlin", "locale": "en", **options}
    context = browser.new_context(**options)
    context.set_default_timeout(15_000)
    name, value = COOKIE.split("=")
    context.add_cookies([{"name": name, "value": value, "url": url}])
    page = context.new_page()
    reading = Reading(page, url, fake, [], set())
    page.on(
        "console", lambda message: reading.faults.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: reading.faults.append(str(error)))
    page.on("request", lambda request: reading.origins.add("/".join(request.url.split("/")[:3])))
    return context, reading


@pytest.fixture
def desk(chromium: Browser, served: tuple[FakeApi, str]) -> Iterator[Reading]:
    context, reading = read(chromium, *served)
    yield reading
    context.close()
    assert reading.faults == []
    assert reading.origins == {reading.url}


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def phone(chromium: Browser, served: tuple[FakeApi, str], scheme: str) -> Iterator[Reading]:
    context, reading = read(chromium, *served, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    yield reading
    context.close()
    assert reading.faults == []


def pixels(page: Page) -> list[str]:
    """The colours in the middle column of the chart."""
    found = page.evaluate(
        """() => {
            const canvas = document.querySelector("traffic-chart canvas");
            const {width, height} = canvas;
            const context = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
            context.drawImage(canvas, 0, 0);
            const data = context.getImageData(Math.round(width * .3), 0, 1, height).data;
            return [...new Set(Array.from({length: height}, (_, y) => data.slice(4 * y, 4 * y + 4).join()))];
        }"""
    )
    return list(found)


def test_the_overview_draws_and_moves(desk: Reading) -> None:
    page = desk.open("/?range=24h")
    expect(page.locator("traffic-chart canvas")).to_be_visible()
    # The colours of the stack, not an empty canvas.
    assert len(set(pixels(page)) & BANDS_LIGHT) > 1
    figure = page.locator(".now.in .big")
    before = figure.text_content()
    expect(figure).not_to_have_text(str(before))
    expect(page.locator("#movers tbody tr").first).to_contain_text("restic")
    expect(page.get_by_text("Times in Europe/Berlin (UTC+1)")).to_be_visible()


def test_a_new_mover_is_on_the_page_within_five_seconds(desk: Reading) -> None:
    page = desk.open("/")
    desk.fake.domains = [("files.example", ["wget"], 300.0, 1.0), *desk.fake.domains]
    started = time.monotonic()
    expect(page.locator("#movers")).to_contain_text("wget")
    expect(page.locator("#movers")).to_contain_text("files.example")
    assert time.monotonic() - started < 5


def test_tables_refresh_by_themselves_and_leave_the_reader_alone(desk: Reading) -> None:
    page = desk.open("/?range=1h")
    page.get_by_text("Figures as a table").click()
    canvas = page.locator("traffic-chart canvas").element_handle()
    desk.fake.apps = [("brand-new", "/usr/bin/brand-new", 900.0, 9.0, 3), *desk.fake.apps]
    with page.expect_response(
        lambda response: "range=1h" in response.url and response.request.headers.get("hx-request") == "true"
    ):
        pass
    expect(page.locator("[aria-labelledby=h-a]")).to_contain_text("brand-new")
    expect(page.locator("#timeline-legend")).to_contain_text("brand-new")
    expect(page.locator("#timeline details")).to_have_attribute("open", "")
    assert canvas is not None
    expect(page.locator("traffic-chart canvas")).to_have_count(1)
    # Another row in the legend's figures means that the chart was drawn again from the new data.
    assert page.evaluate("JSON.parse(document.getElementById('timeline-data').textContent).bands.length") == 8


@pytest.mark.parametrize(("path", "part"), [("/", "#movers"), ("/live", "#tree")])
def test_rows_of_what_moves_lead_on_and_keep_their_focus(desk: Reading, path: str, part: str) -> None:
    page = desk.open(path)
    link = page.locator(part).get_by_role("link", name="containerd", exact=True)
    link.focus()
    figures = page.locator(f"{part} tbody").inner_text()
    # In front of all others from the next time that they are put in order.
    desk.fake.domains = [*desk.fake.domains, ("brand-new.example", ["wget"], 900.0, 1.0)]
    expect(page.locator(f"{part} tbody tr").first).to_contain_text("wget", timeout=15_000)
    assert page.locator(f"{part} tbody").inner_text() != figures
    assert page.evaluate("document.activeElement.textContent") == "containerd"
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("containerd")
    assert page.url == f"{desk.url}/applications/5?range=1h"


def test_pause_stops_what_moves(desk: Reading) -> None:
    page = desk.open("/")
    page.get_by_role("button", name="Pause").click()
    figure = page.locator(".now.in .big")
    page.wait_for_timeout(400)
    before = figure.text_content()
    page.wait_for_timeout(1500)
    assert figure.text_content() == before
    page.get_by_role("button", name="Resume").click()
    expect(figure).not_to_have_text(str(before))


def test_dragging_zooms_into_the_url_and_back_comes_out_again(desk: Reading) -> None:
    page = desk.open("/?range=24h")
    box = page.locator("traffic-chart .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60, steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile(r"\?from=.*&to="))
    hours = page.evaluate(
        "[...new URL(location).searchParams.values()].map((text) => Date.parse(text) / 36e5).reduce((a, b) => b - a)"
    )
    assert 4.5 < hours < 5.5
    expect(page.locator("h1")).to_contain_text("Overview, ")
    page.reload()
    expect(page.locator("traffic-chart canvas")).to_be_visible()
    page.go_back()
    expect(page.locator("h1")).to_have_text("Overview, last 24 hours")


def test_the_chart_is_read_and_zoomed_by_keys(desk: Reading) -> None:
    page = desk.open("/?range=24h")
    chart = page.locator("traffic-chart")
    chart.focus()
    head = page.locator("#timeline-legend [data-time]")
    expect(head).to_have_text("Mean")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(head).not_to_have_text("Mean")
    page.keyboard.press("Escape")
    expect(head).to_have_text("Mean")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    for _ in range(20):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"\?from=.*&to="))


def test_a_range_is_chosen_by_links_and_by_the_form(desk: Reading) -> None:
    page = desk.open("/")
    page.get_by_role("link", name="7 d").click()
    expect(page.locator("h1")).to_have_text("Overview, last 7 days")
    page.get_by_text("From … to").click()
    page.get_by_label("From").fill("2026-11-01T10:00")
    page.get_by_label("To", exact=True).fill("2026-11-01T22:00")
    page.get_by_role("button", name="Use this range").click()
    page.wait_for_url(re.compile("tz=Europe%2FBerlin"))
    expect(page.locator("h1")).to_contain_text("1\u00a0Nov\u00a010:00 – 1\u00a0Nov\u00a022:00")
    page.get_by_role("link", name="Domains", exact=True).click()
    expect(page.locator("h1")).to_contain_text("Domains, 1\u00a0Nov\u00a010:00")


def test_colours_follow_the_scheme_and_the_choice(desk: Reading) -> None:
    page = desk.open("/?range=24h")
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    assert page.evaluate(paper) == "rgb(252, 252, 250)"
    assert set(pixels(page)) & BANDS_LIGHT
    page.emulate_media(color_scheme="dark")
    expect(page.locator("traffic-chart canvas")).to_be_visible()
    assert page.evaluate(paper) == "rgb(17, 22, 24)"
    deadline = time.monotonic() + 5
    while set(pixels(page)) & BANDS_LIGHT and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert not set(pixels(page)) & BANDS_LIGHT
    page.get_by_role("button", name="light").click()
    page.wait_for_url(f"{desk.url}/?range=24h")
    assert page.evaluate(paper) == "rgb(252, 252, 250)"
    expect(page.get_by_role("button", name="light")).to_have_attribute("aria-current", "true")


def test_focus_can_be_seen(desk: Reading) -> None:
    page = desk.open("/")
    for name in ("Pause", "Sign out"):
        button = page.get_by_role("button", name=name)
        page.keyboard.press("Tab")
        button.focus()
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 24
        assert button.evaluate("(node) => getComputedStyle(node).outlineStyle") == "solid"


def test_nothing_jumps_while_the_page_loads_and_refreshes(desk: Reading) -> None:
    desk.page.add_init_script(
        """window.shift = 0; new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
        }).observe({type: "layout-shift", buffered: true});"""
    )
    page = desk.open("/")
    page.wait_for_timeout(3000)
    assert page.evaluate("window.shift") < 0.1


def test_hostile_names_stay_text(desk: Reading) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\">"
    desk.fake.apps = [(evil, evil, 9.0, 9.0, 1)]
    desk.fake.domains = [(evil, [evil], 300.0, 5.0)]
    page = desk.open("/")
    expect(page.locator("#movers")).to_contain_text("onerror")
    figure = page.locator(".now.in .big")
    expect(figure).not_to_have_text(str(figure.text_content()))
    assert page.locator("img").count() == 0
    assert page.title() == "Overview · Netally"


@pytest.mark.parametrize("path", PATHS)
def test_a_phone_needs_no_sideways_scrolling(phone: Reading, path: str) -> None:
    page = phone.open(path)
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    menu = page.get_by_role("button", name="Menu")
    menu.click()
    expect(page.get_by_role("link", name="Hosts", exact=True)).to_be_visible()


def test_long_names_need_none_either(phone: Reading) -> None:
    long = "a-very-long-process-name-without-any-break-in-it-" * 3
    phone.fake.apps = [(long, f"/usr/bin/{long}", 9.0, 9.0, 1)]
    phone.fake.domains = [(f"{long}.example", [long], 300.0, 5.0)]
    phone.fake.hosts = [long]
    for path in PATHS:
        page = phone.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_signing_in_by_link_and_out_again(chromium: Browser, served: tuple[FakeApi, str]) -> None:
    fake, url = served
    context, reading = read(chromium, fake, url)
    context.clear_cookies()
    page = reading.open(f"/login?code={CODE}")
    assert page.url == f"{url}/"
    expect(page.locator("h1")).to_have_text("Overview, last hour")
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("h1")).to_have_text("Sign in")
    assert page.goto(url).status == 401  # type: ignore[union-attr]
    page.get_by_label("Login code or token").fill(CODE)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Overview, last hour")
    context.close()


def test_a_session_that_ends_brings_the_login_page(chromium: Browser, served: tuple[FakeApi, str]) -> None:
    context, reading = read(chromium, *served)
    page = reading.open("/")
    context.clear_cookies(name="netally_session")
    expect(page.locator("h1")).to_have_text("Sign in", timeout=25_000)
    context.close()


def test_an_api_that_fails_is_said_on_the_page_and_passes(chromium: Browser, served: tuple[FakeApi, str]) -> None:
    context, reading = read(chromium, *served)
    page = reading.open("/?range=1h")
    reading.fake.broken = {"/api/applications": 503}
    part = page.locator("[aria-labelledby=h-a]")
    expect(part).to_contain_text("The database did not answer within 5 s.", timeout=25_000)
    reading.fake.broken = {}
    expect(part).to_contain_text("restic", timeout=25_000)
    context.close()


def test_the_page_can_be_read_without_scripts(chromium: Browser, served: tuple[FakeApi, str]) -> None:
    context, reading = read(chromium, *served, java_script_enabled=False)
    page = reading.open("/?range=24h")
    expect(page.locator("traffic-chart svg[role=img]")).to_be_visible()
    expect(page.locator("#movers tbody tr").first).to_contain_text("restic")
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    page.get_by_role("link", name="Applications", exact=True).click()
    page.get_by_role("link", name="Application", exact=True).click()
    expect(page.locator("[aria-sort=ascending]")).to_have_text("Application")
    context.close()


def test_the_live_page_moves_filters_and_pauses(desk: Reading) -> None:
    page = desk.open("/live")
    # One figure may be the same twice when it is rounded; all of them are not.
    figures = page.locator("#tree tbody")
    before = figures.text_content()
    expect(figures).not_to_have_text(str(before))
    desk.fake.domains = [("files.example", ["wget"], 300.0, 1.0), *desk.fake.domains]
    expect(page.locator("#tree")).to_contain_text("files.example")
    page.keyboard.press("/")
    page.keyboard.type("wget")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"filter=wget"))
    expect(page.locator("#tree tbody tr")).to_have_count(2)
    expect(page.locator("#tree tbody")).not_to_contain_text("restic")
    page.get_by_role("button", name="Pause").click()
    rate = page.locator("#tree tfoot td").nth(2)
    page.wait_for_timeout(400)
    stands = rate.text_content()
    page.wait_for_timeout(1200)
    assert rate.text_content() == stands
    page.get_by_role("button", name="Resume").click()
    expect(rate).not_to_have_text(str(stands))


def test_one_cursor_for_all_charts_of_a_page(desk: Reading) -> None:
    page = desk.open("/_components")
    charts = page.locator("traffic-chart")
    expect(page.locator("traffic-chart canvas")).to_have_count(4)
    heads = page.locator("[data-time]")
    expect(heads.nth(1)).to_have_text("Mean")
    charts.nth(0).locator(".u-over").hover(position={"x": 100, "y": 40})
    expect(heads.nth(0)).not_to_have_text("Mean")
    expect(heads.nth(1)).to_have_text(str(heads.nth(0).text_content()))
    assert page.evaluate("document.querySelectorAll('.u-cursor-x').length") == 4
    # A zoom is of the page, so that dragging over one chart goes somewhere once.
    box = charts.nth(0).locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60, steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile(r"\?.*from=.*&to="))


def test_a_hatched_gap_is_drawn_and_named(desk: Reading) -> None:
    page = desk.open("/_components")
    gaps = page.evaluate(
        "JSON.parse(document.getElementById('chart-flat-data').textContent).gaps.map((gap) => gap[2][2])"
    )
    assert gaps == ["no host reported", "paused"]
    twin = page.locator("section[aria-labelledby=k-flat] details")
    twin.locator("summary").click()
    expect(twin).to_contain_text("of host-time, paused")


def test_bits_or_bytes_are_chosen_and_kept(desk: Reading) -> None:
    page = desk.open("/?range=24h")
    heading = page.locator("#h-t")
    expect(heading).to_contain_text("Mbit/s")
    page.get_by_role("button", name="B/s", exact=True).click()
    page.wait_for_url(f"{desk.url}/?range=24h")
    expect(heading).to_contain_text("MB/s")
    expect(page.locator(".now.in .big")).to_contain_text("MB/s")
    desk.open("/live")
    expect(page.locator("#tree thead")).to_contain_text("B/s")
    desk.open("/settings")
    expect(page.get_by_label("B/s")).to_be_checked()


def test_figures_that_stand_still_for_30_seconds_say_so(chromium: Browser, served: tuple[FakeApi, str]) -> None:
    context, reading = read(chromium, *served)
    page = reading.page
    page.clock.install()
    reading.open("/")
    expect(page.locator("#stale")).to_be_hidden()
    context.set_offline(True)
    page.clock.fast_forward(40_000)
    expect(page.locator("#stale")).to_be_visible()
    expect(page.locator("#stale")).to_contain_text("s old.")
    context.close()


def test_a_slow_page_says_that_it_is_being_read(desk: Reading) -> None:
    page = desk.open("/applications")
    # Playwright looks at nothing while a page is on its way, so the page remembers what it showed.
    page.evaluate(
        """() => { const note = document.getElementById("loading"); new MutationObserver(() => {
            if (note.getClientRects().length) sessionStorage.setItem("told", note.textContent);
        }).observe(note, {attributes: true}); }"""
    )
    desk.fake.delay = 1.5
    page.get_by_role("link", name="Settings", exact=True).click()
    expect(page.locator("h1")).to_have_text("Settings")
    assert str(page.evaluate("sessionStorage.getItem('told')")).startswith("Reading.")
    expect(page.locator("#loading")).to_be_hidden()
