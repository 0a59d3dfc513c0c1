"""What the extension sends, as the hub gets it: in Chromium and in Firefox, over restarts, and while it is paused."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import BrowserContext, Page, Worker, sync_playwright

from tests.e2e.test_browser_extension import FLAGS, allowed_extension
from tests.e2e.test_pages_rules import FINDINGS, WCAG
from tests.marionette import Firefox, firefox
from tests.namespaces import REPOSITORY
from tests.npm_package import package_directory, pinned
from tests.recording_hub import TITLE, RecordingHub, recording_hub
from tests.services import wait_until

pytestmark = [pytest.mark.browser]

KEYS = {"domain", "timestamp", "seconds", "browser", "earlier", "pairs", "id"}
"""Of a report, as docs/browser.md tells them."""
SPAN_KEYS = {"domain", "timestamp", "seconds"}
CODE = "code-of-this-test"
EVERYWHERE = {"www.shop.example", "xn--bcher-kva.example", "127.0.0.1", "last.example", "cdn.example"}


@pytest.fixture
def hub() -> Iterator[RecordingHub]:
    with recording_hub() as running:
        yield running


@contextlib.contextmanager
def chromium(directory: Path, hub: RecordingHub) -> Iterator[BrowserContext]:
    extension = directory / "extension"
    if not extension.exists():
        allowed_extension(directory)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(directory / "profile"),
            executable_path="/usr/bin/chromium",
            headless=False,
            ignore_default_args=["--disable-extensions"],
            args=[
                *FLAGS, f"--load-extension={extension}", f"--disable-extensions-except={extension}",
                "--host-resolver-rules=MAP * 127.0.0.1",
            ],
        )  # fmt: skip
        try:
            yield context
        finally:
            context.close()


def worker_of(context: BrowserContext) -> Worker:
    return context.service_workers[0] if context.service_workers else context.wait_for_event("serviceworker")


def options(context: BrowserContext) -> Page:
    page = context.new_page()
    page.goto(worker_of(context).url.replace("background.js", "options.html"))
    return page


def pair(page: Page, hub: RecordingHub) -> None:
    page.get_by_label("Hub").fill(f"http://hub.example:{hub.hub_port}")
    page.get_by_label("Pairing code").fill(CODE)
    page.get_by_label("Also count").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Paired with host desk").wait_for()


def told_only_what_is_documented(hub: RecordingHub, browser: str, origin: str) -> None:
    for one in hub.sent:
        assert one.path == "/api/browser/active-tab"
        assert one.headers["authorization"] == f"Bearer {CODE}"
        assert one.headers["origin"].startswith(origin)
        assert not {"cookie", "referer"} & set(one.headers)
        assert set(one.report) == KEYS
        assert one.report["browser"] == browser
        assert all(set(span) == SPAN_KEYS for span in one.report["earlier"])
        assert all(set(pair) == {"host", "site", "count"} for pair in one.report["pairs"])
        for secret in ("secret", "private", TITLE, str(hub.site_port), "ada", "://", "/"):
            assert secret not in one.body, one.body
    assert hub.domains() == EVERYWHERE - {"cdn.example"}
    pairs = {(pair["host"], pair["site"]) for report in hub.reports() for pair in report["pairs"]}
    assert {host for pair in pairs for host in pair} <= EVERYWHERE
    assert ("cdn.example", "www.shop.example") in pairs
    # The private page was really there, and its third party asked for.
    assert ("private.example", "/secret-path") in hub.visited
    # Each begins when the one before has ended, so that no second is told twice.
    spans = sorted(hub.spans(), key=lambda span: span["timestamp"])
    assert all(
        one["timestamp"] + one["seconds"] * 1000 <= two["timestamp"] + 1000 for one, two in itertools.pairwise(spans)
    )
    # At most every five seconds, from the answer on.
    times = [one.at for one in hub.sent]
    assert all(later - earlier > 4.9 for earlier, later in itertools.pairwise(times))


def test_domains_and_nothing_else_leave_chromium(hub: RecordingHub, tmp_path: Path) -> None:
    with chromium(tmp_path, hub) as context:
        page = options(context)
        pair(page, hub)
        page.goto(hub.site("ada:secret@www.shop.example", "/secret-path/page?secret=query#secret"))
        page.goto(hub.site("bücher.example"))
        hub.wait(lambda: "xn--bcher-kva.example" in hub.domains())
        worker_of(context).evaluate(
            "url => chrome.windows.create({ incognito: true, url })", hub.site("private.example", "/secret-path")
        )
        hub.wait(lambda: ("private.example", "/secret-path") in hub.visited)
        page.bring_to_front()
        page.goto(hub.site("127.0.0.1", "/secret-path"))
        page.goto(hub.site("last.example"))
        hub.wait(lambda: "last.example" in hub.domains())
    told_only_what_is_documented(hub, "Chromium", "chrome-extension://")


def test_domains_and_nothing_else_leave_firefox(hub: RecordingHub, tmp_path: Path) -> None:
    """The packed archive, as it is handed in."""
    subprocess.run([sys.executable, REPOSITORY / "extension" / "pack.py", tmp_path], check=True, capture_output=True)
    with firefox(tmp_path, network_dns_forceResolve="127.0.0.1") as browser:
        page = browser.install(tmp_path / "netally-firefox.zip") + "options.html"
        browser.open(page)
        # Not on loopback for the browser, and without TLS.
        browser.fill("#hub", f"http://hub.example:{hub.hub_port}")
        browser.fill("#code", CODE)
        browser.click("#pairs")
        browser.click("button")
        wait_until(lambda: "Paired with host desk" in browser.text("#state"))
        browser.open(hub.site("ada:secret@www.shop.example", "/secret-path/page?secret=query#secret"))
        browser.open(hub.site("bücher.example"))
        hub.wait(lambda: "xn--bcher-kva.example" in hub.domains())
        browser.new_window(private=True)
        browser.open(hub.site("private.example", "/secret-path"))
        browser.close_window()
        browser.open(hub.site("127.0.0.1", "/secret-path"))
        browser.open(hub.site("last.example"))
        hub.wait(lambda: "last.example" in hub.domains())
        told_only_what_is_documented(hub, "Firefox", "moz-extension://")
        save_in(browser, page, "#paused")
        hub.sent.clear()
        browser.open(hub.site("unseen.example"))
        save_in(browser, page, "#paused")
        browser.open(hub.site("seen.example"))
        hub.wait(lambda: "seen.example" in hub.domains())
        assert hub.domains() == {"seen.example"}


def save_in(browser: Firefox, page: str, checkbox: str) -> None:
    """Change one of the options; returns once they are saved and tried."""
    browser.open(page)
    browser.click(checkbox)
    browser.click("button")
    wait_until(lambda: "Paired with host desk" in browser.text("#state"))


def test_what_could_not_be_sent_survives_the_browser(hub: RecordingHub, tmp_path: Path) -> None:
    hub.status = 503
    with chromium(tmp_path, hub) as context:
        page = options(context)
        pair(page, hub)
        page.goto(hub.site("first.example"))
        hub.wait(lambda: "first.example" in hub.domains())
        page.goto(hub.site("second.example"))
        page.goto(hub.site("third.example"))
        # Sent again, with what was known then and with its id.
        tried = len(hub.sent)
        hub.wait(lambda: len(hub.sent) > tried)
        page = options(context)
        page.get_by_text("The hub answered 503").wait_for()
        page.close()
    closed_at = time.time() * 1000
    assert len({report["id"] for report in hub.reports()}) == 1
    first = hub.reports()[0]
    hub.sent.clear()
    hub.status = 202
    with chromium(tmp_path, hub):
        hub.wait(lambda: {"second.example", "third.example"} <= hub.domains())
    again, later = hub.reports()[:2]
    # Pairs are not told late.
    assert again == {**first, "pairs": []}
    assert later["id"] != first["id"]
    (second,) = [span for span in hub.spans() if span["domain"] == "second.example"]
    assert second["timestamp"] > first["timestamp"]
    # While the browser was closed nobody looked at it.
    assert all(span["timestamp"] + span["seconds"] * 1000 <= closed_at + 500 for span in hub.spans())


def test_paused_it_sends_nothing_and_forgets_what_waited(hub: RecordingHub, tmp_path: Path) -> None:
    hub.status = 503
    with chromium(tmp_path, hub) as context:
        page = options(context)
        pair(page, hub)
        other = context.new_page()
        other.goto(hub.site("waiting.example"))
        hub.wait(lambda: "waiting.example" in hub.domains())
        page.get_by_label("Pause").check()
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Paired with host desk").wait_for()
        other.bring_to_front()
        other.goto(hub.site("unseen.example"))
        hub.status = 202
        hub.sent.clear()
        page.get_by_label("Pause").uncheck()
        page.get_by_role("button", name="Save").click()
        other.goto(hub.site("seen.example"))
        hub.wait(lambda: "seen.example" in hub.domains())
        assert "waiting.example" not in hub.domains()
        assert not [span for span in hub.spans() if span["domain"] == "unseen.example" and span["seconds"] > 2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_options_are_accessible(hub: RecordingHub, tmp_path: Path, theme: Literal["light", "dark"]) -> None:
    axe = package_directory(pinned(Path(__file__).parent / "axe.json")) / "axe.min.js"
    with chromium(tmp_path, hub) as context:
        page = options(context)
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": 390, "height": 844})
        pair(page, hub)
        page.evaluate(axe.read_text())
        assert page.evaluate(FINDINGS, WCAG) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
