"""The pages in Chromium on a machine whose packets flow: charts move with them, rows lead on, and an API that stands
still or is gone is said and passes.
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.e2e.test_packet_to_page import Machine, machine_and_world
from tests.e2e.test_pages import FLAGS
from tests.namespaces import REPOSITORY

pytestmark = [pytest.mark.root, pytest.mark.browser, pytest.mark.alone, pytest.mark.timeout(240)]

TELL = 30_000
"""Milliseconds within which a page says what is wrong: it waits 10 s for the API."""


class Desk(msgspec.Struct):
    """A browser on the machine itself."""

    machine: Machine
    page: Page

    def api_process(self) -> psutil.Process:
        """Of the API that runs now."""
        parts = msgspec.json.decode((self.machine.data_dir / "children.json").read_bytes())
        return psutil.Process(next(each["pid"] for each in parts if each["name"] == "api"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    start = tmp_path_factory.mktemp("browser") / "chromium"
    with machine_and_world(NETALLY_INTERVAL="1") as (machine, _world):
        machine.start()
        start.write_text(f'#!/bin/sh\nexec ip netns exec {machine.namespace.name} /usr/bin/chromium "$@"\n')
        start.chmod(0o755)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=start, args=FLAGS)
            context = browser.new_context(
                base_url="http://127.0.0.1:7500", viewport={"width": 1440, "height": 900}, timezone_id="UTC"
            )
            context.set_default_timeout(TELL)
            page = context.new_page()
            page.goto("/login")
            page.locator("[name=secret]").fill((machine.data_dir / "admin-token").read_text().strip())
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url("**/")
            yield Desk(machine, page)
            context.close()
            browser.close()
        machine.stop()


def bits(reading: Locator) -> float:
    """Bits a second of a big figure; NaN, which is neither more nor less than anything, while nothing was measured."""
    text = reading.inner_text().replace("\u2009", "")
    if text.startswith("–"):
        return math.nan
    found = re.match(r"([\d.]+)\s*([kMG]?)bit/s", text)
    assert found, text
    return float(found[1]) * {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]]


def until(page: Page, condition: Callable[[], bool], within: float = 30) -> None:
    """Wait for it while the browser goes on: its driver has the event loop of this thread."""
    for _ in range(int(within * 5)):
        if condition():
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"not so within {within} s")


def steps_of(page: Page, name: str) -> tuple[list[float], bool]:
    """What a program sent in the newest steps of the timeline, in the chart's unit, and whether its colour is seen
    there: in the last tenth of what is painted.
    """
    found = page.evaluate(
        """(name) => {
            const chart = document.querySelector("traffic-chart");
            const rows = [...document.querySelectorAll("#timeline-legend tbody tr")];
            const at = rows.findIndex((row) => row.textContent.includes(name));
            if (at < 0) return [[], false];
            const band = JSON.parse(document.getElementById("timeline-data").textContent).bands[at];
            const colour = chart.colour(band.mark).match(/\\d+/g).slice(0, 3).join();
            const canvas = chart.querySelector("canvas");
            const {width, height} = canvas;
            const context = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
            context.drawImage(canvas, 0, 0);
            const from = Math.round(width * .9);
            const data = context.getImageData(from, 0, width - from, height).data;
            let seen = false;
            for (let at = 0; at < data.length && !seen; at += 4) seen = data.slice(at, at + 3).join() === colour;
            return [band.out.slice(-18).map((value) => value ?? 0), seen];
        }""",
        name,
    )
    return found[0], found[1]


def test_charts_move_while_packets_flow_and_rest_after(desk: Desk, tmp_path: Path) -> None:
    page, machine = desk.page, desk.machine
    # A program of its own, that has sent nothing before.
    program = tmp_path / "wire_client.py"
    shutil.copy(REPOSITORY / "tests/peers/udp_client.py", program)
    page.goto("/?range=15m")
    out = page.locator(".now.out .big")
    until(page, lambda: bits(out) < 50_000)
    line = page.locator(".now.out svg path").first
    rest = line.get_attribute("d")
    assert steps_of(page, "wire_client") == ([], False)
    client = machine.namespace.start(sys.executable, program, "stream.netally.test", "9000", "1600", "1200", "100")
    # Datagrams of 1,228 bytes, 200 a second at the most.
    until(page, lambda: bits(out) > 300_000)
    assert bits(out) < 2_200_000
    assert line.get_attribute("d") != rest
    expect(page.locator("#movers")).to_contain_text("stream.netally.test")
    # The timeline too, by itself: its newest steps hold what flows, and it is painted.
    until(page, lambda: max(steps_of(page, "wire_client")[0], default=0) > 0)
    until(page, lambda: steps_of(page, "wire_client")[1])
    assert client.wait(60) == 0
    until(page, lambda: bits(out) < 50_000)
    until(page, lambda: steps_of(page, "wire_client")[0][-2:] == [0, 0])
    assert max(steps_of(page, "wire_client")[0]) > 0


def test_rows_of_what_moves_lead_to_its_pages(desk: Desk) -> None:
    page, machine = desk.page, desk.machine
    for start, part in (("/", "#movers"), ("/live", "#tree")):
        client = machine.namespace.start(
            sys.executable, "tests/peers/udp_client.py", "stream.netally.test", "9000", "300", "1200", "100"
        )
        for name in ("udp_client", "stream.netally.test", "box.netally.test"):
            page.goto(start)
            page.locator(part).get_by_role("link", name=re.compile(name)).first.click()
            title = page.locator("h1")
            # What is stored some seconds later is asked for again.
            for _ in range(20):
                if "Nothing of" not in title.inner_text():
                    break
                page.get_by_role("link", name="Try again").click()
                page.wait_for_timeout(500)
            expect(title).to_contain_text(name)
            assert re.search(r"/(applications|domains|hosts)/\d+\?range=1h$", page.url)
        assert client.wait(60) == 0


def test_an_api_that_stands_still_is_said_and_passes(desk: Desk) -> None:
    page = desk.page
    page.goto("/?range=15m")
    expect(page.locator("traffic-chart canvas")).to_be_visible()
    process = desk.api_process()
    process.suspend()
    try:
        note = page.locator("#live .note")
        expect(note).to_contain_text("The API did not answer within 10 s. It is tried again every 2 s.", timeout=TELL)
        page.get_by_role("link", name="Applications", exact=True).click()
        expect(page.locator("h1")).to_have_text("The figures cannot be read now")
        told = page.locator("main .note")
        expect(told).to_contain_text(re.compile(r"The API did not answer( within 10 s)?\. Nothing is lost"))
    finally:
        process.resume()
    # By itself, or by the link: whichever is first.
    with contextlib.suppress(PlaywrightError):
        page.get_by_role("link", name="Try again").click(timeout=1000)
    expect(page.locator("h1")).to_have_text(re.compile("^Applications, "), timeout=TELL)


def test_an_api_that_is_gone_is_said_and_the_page_goes_on_when_it_is_back(desk: Desk) -> None:
    page = desk.page
    page.goto("/?range=15m")
    process = desk.api_process()
    # Who would start it again stands still, so that it stays away for as long as this takes.
    supervisor = process.parent()
    assert supervisor is not None
    supervisor.suspend()
    try:
        process.kill()
        note = page.locator("#live .note")
        expect(note).to_contain_text("It is tried again every 2 s.", timeout=TELL)
        away = page.context.new_page()
        answer = away.goto("/hosts")
        assert answer is not None
        assert answer.status == 503
        expect(away.locator("main .note")).to_contain_text("The API cannot be reached. Nothing is lost")
        expect(away.get_by_role("link", name="Try again")).to_be_visible()
    finally:
        supervisor.resume()
    # Nobody touches either page.
    expect(note).to_have_count(0, timeout=TELL)
    figure = page.locator("#readings").inner_text()
    until(page, lambda: page.locator("#readings").inner_text() != figure)
    expect(away.locator("h1")).to_have_text(re.compile("^Hosts, "), timeout=TELL)
    away.close()
