"""The operations page in a real browser, in front of a fake API that carries commands out as the tests say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from netally.contracts.command_answers import CommandOrder
from tests.e2e.test_pages import Reading, chromium, desk, phone, read, scheme, served  # noqa: F401  (fixtures)
from tests.fake_api import EXPORTED, FakeApi

pytestmark = pytest.mark.browser


@pytest.fixture
def refusing(chromium: Browser, served: tuple[FakeApi, str]) -> Iterator[Reading]:  # noqa: F811
    """A reading whose console may name answers of 400: that is what a refused form is."""
    context, reading = read(chromium, *served)
    yield reading
    context.close()
    assert [fault for fault in reading.faults if "400 (Bad Request)" not in fault] == []


def test_a_clean_up_is_previewed_and_its_size_typed(desk: Reading) -> None:  # noqa: F811
    page = desk.open("/operations")
    page.get_by_role("button", name="Preview the clean-up").click()
    expect(page.locator("h1")).to_contain_text("Clean up preview")
    expect(page.locator("#command")).to_contain_text("Nothing is changed yet.")
    expect(page.get_by_role("row", name=re.compile("Flows"))).to_contain_text("22.2")
    expect(page.locator("#command")).to_contain_text("You lose single connections, addresses and ports")
    page.get_by_label("Type 22.2 GB to confirm").fill("22.2 GB")
    page.get_by_role("button", name="Delete 22.2 GB").click()
    expect(page.locator("h1")).to_contain_text("Clean up done")
    assert [row.dry_run for row in desk.fake.ledger] == [True, False]
    page.get_by_role("link", name="All operations").click()
    expect(page.locator("#ledger tbody tr")).to_have_count(2)


def test_an_export_shows_its_progress_and_downloads(desk: Reading, tmp_path: Path) -> None:  # noqa: F811
    desk.fake.holds = True
    page = desk.open("/operations")
    export = page.locator("[aria-labelledby=o-export]")
    export.get_by_text("JSON lines", exact=True).click()
    export.get_by_label("Applications", exact=True).fill("firefox, git")
    export.get_by_role("button", name="Export", exact=True).click()
    expect(page.locator("h1")).to_contain_text("Export running")
    command = desk.fake.ledger[-1]
    assert command.arguments["format"] == "json"
    assert command.arguments["app"] == ["firefox", "git"]
    desk.fake.tell(command.id, "progress", "18300000 rows, 431.0 MB", {"share": 0.63})
    expect(page.locator("progress")).to_have_attribute("value", "63.0")
    expect(page.locator("#how-far")).to_contain_text("18\u2009300\u2009000 rows, 431.0 MB, 63\u00a0%")
    desk.fake.finish(command.id)
    link = page.get_by_role("link", name="Download")
    expect(link).to_be_visible()
    expect(page.locator("progress")).to_have_count(0)
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "netally-1h.csv"
    saved = tmp_path / "export"
    download.value.save_as(saved)
    assert saved.read_bytes() == EXPORTED
    # The stream has ended and is not asked for again.
    page.wait_for_timeout(1000)
    assert desk.fake.live_streams == 0


def test_a_refused_form_leads_to_its_field_and_keeps_what_was_entered(refusing: Reading) -> None:
    page = refusing.open("/operations")
    export = page.locator("[aria-labelledby=o-export]")
    export.get_by_label("To, exclusive").fill("2020-01-01T00:00")
    export.get_by_label("Domains").fill("example.org")
    export.get_by_role("button", name="Export", exact=True).click()
    field = page.locator("[aria-invalid]")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("name", "from")
    expect(field).to_have_accessible_description("From does not lie before to.")
    expect(export.get_by_label("Domains")).to_have_value("example.org")
    expect(page.locator("#ledger tbody tr").first).to_contain_text("refused")
    export.get_by_label("To, exclusive").fill("2030-01-01T00:00")
    export.get_by_role("button", name="Export", exact=True).click()
    expect(page.locator("h1")).to_contain_text("Export done")


def test_the_keyboard_alone_purges_a_domain(desk: Reading) -> None:  # noqa: F811
    page = desk.open("/operations")

    def tab_to(name: str) -> None:
        for _ in range(200):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()") == name:
                return
        raise AssertionError(f"{name} is not reached by Tab")

    tab_to("name")
    page.keyboard.type("ads.example")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("Purge preview")
    tab_to("size")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.type("48210 rows")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("Purge done")
    assert desk.fake.ledger[-1].arguments == {"domain": "ads.example"}


def test_a_running_command_is_stopped(desk: Reading) -> None:  # noqa: F811
    desk.fake.holds = True
    page = desk.open("/operations")
    page.get_by_role("button", name="Run aggregation").click()
    expect(page.locator("h1")).to_contain_text("Run aggregation running")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("h1")).to_contain_text("Run aggregation cancelled")


def test_the_page_follows_what_runs(desk: Reading) -> None:  # noqa: F811
    desk.fake.holds = True
    command = desk.fake.order(CommandOrder("aggregate"))
    page = desk.open("/operations")
    expect(page.locator("#last-aggregate")).to_contain_text("running")
    page.get_by_label("Applications", exact=True).fill("half entered")
    desk.fake.finish(command.id)
    expect(page.locator("#last-aggregate")).to_contain_text("done: 64 buckets")
    expect(page.locator("#ledger tbody tr").first).to_contain_text("done")
    expect(page.locator("#counts")).to_contain_text("Running0")
    expect(page.get_by_label("Applications", exact=True)).to_have_value("half entered")


def test_pausing_a_host_shows_before_and_after(desk: Reading) -> None:  # noqa: F811
    page = desk.open("/settings")
    page.get_by_role("button", name="Pause nas-01").click()
    expect(page.get_by_role("row", name=re.compile("nas-01"))).to_contain_text("capturingpausedfollowed")


def test_all_works_without_scripts(chromium: Browser, served: tuple[FakeApi, str]) -> None:  # noqa: F811
    context, reading = read(chromium, *served, java_script_enabled=False)
    reading.fake.holds = True
    page = reading.open("/operations")
    page.get_by_role("button", name="Refresh caches").click()
    expect(page.locator("h1")).to_contain_text("Refresh caches running")
    reading.fake.finish(reading.fake.ledger[-1].id)
    # The page reads itself again.
    expect(page.locator("h1")).to_contain_text("Refresh caches partly")
    expect(page.locator("#command tbody").first).to_contain_text("no answer")
    context.close()


def test_a_phone_needs_no_sideways_scrolling_for_any_command(phone: Reading) -> None:  # noqa: F811
    fake = phone.fake
    fake.hosts = ["a-very-long-host-name-without-any-break-in-it-" * 3, "nas-01"]
    orders = [
        CommandOrder("aggregate"), CommandOrder("cleanup", dry_run=True), CommandOrder("refresh-cache"),
        CommandOrder("export", {"from": 1_795_000_000_000, "to": 1_795_305_600_000}),
        CommandOrder("set-retention", {"raw": 30}, dry_run=True), CommandOrder("pause", {"hosts": [fake.hosts[0]]}),
        CommandOrder("purge", {"domain": "x" * 250}, dry_run=True), CommandOrder("export", {"from": "x" * 200}),
    ]  # fmt: skip
    for order in orders:
        fake.order(order)
    for path in ("/operations", *(f"/operations/commands/{row.id}" for row in fake.ledger)):
        page = phone.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_nothing_jumps_when_a_command_ends(desk: Reading) -> None:  # noqa: F811
    desk.page.add_init_script(
        """window.shift = 0; new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
        }).observe({type: "layout-shift", buffered: true});"""
    )
    page = desk.open("/operations")
    page.wait_for_timeout(500)
    assert page.evaluate("window.shift") < 0.1
