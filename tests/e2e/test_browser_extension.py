"""The real extension in Chromium on a machine of its own: which site caused which bytes, on the API and the pages."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from netally.web import figures
from tests.e2e.test_packet_to_page import Machine, machine_and_world
from tests.namespaces import REPOSITORY
from tests.services import wait_until

pytestmark = [pytest.mark.root, pytest.mark.alone, pytest.mark.timeout(300)]

NETALLY = Path(sys.executable).parent / "netally"
FLAGS = [
    "--headless=new", "--no-sandbox", "--ignore-certificate-errors", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


def allowed_extension(directory: Path) -> Path:
    """The extension as it is, but allowed what a person would be asked for: nobody can click there without a screen."""
    copied = directory / "extension"
    shutil.copytree(REPOSITORY / "extension", copied)
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["permissions"] += manifest.pop("optional_permissions")
    manifest["host_permissions"] = manifest.pop("optional_host_permissions")
    (copied / "manifest.json").write_text(json.dumps(manifest))
    return copied


@contextlib.contextmanager
def chromium_in(machine: Machine, directory: Path) -> Iterator[BrowserContext]:
    extension = allowed_extension(directory)
    start = directory / "chromium"
    start.write_text(f'#!/bin/sh\nexec ip netns exec {machine.namespace.name} /usr/bin/chromium "$@"\n')
    start.chmod(0o755)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(directory / "profile"),
            executable_path=start,
            headless=False,
            ignore_https_errors=True,
            ignore_default_args=["--disable-extensions"],
            args=[*FLAGS, f"--load-extension={extension}", f"--disable-extensions-except={extension}"],
        )
        try:
            yield context
        finally:
            context.close()


def pair(machine: Machine, context: BrowserContext) -> None:
    code = machine.namespace.run("env", f"NETALLY_DATA_DIR={machine.data_dir}", NETALLY, "pair-browser",
                                 "--host", "box.netally.test").strip()  # fmt: skip
    worker = context.service_workers[0] if context.service_workers else context.wait_for_event("serviceworker")
    page = context.new_page()
    page.goto(worker.url.replace("background.js", "options.html"))
    page.get_by_label("Hub").fill("http://127.0.0.1:7500")
    page.get_by_label("Pairing code").fill(code)
    page.get_by_label("Also count").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Paired with host box.netally.test").wait_for()
    page.close()


def until(page: Page, condition: Callable[[], bool], within: float) -> None:
    """Wait for it while the browser goes on: its driver has the event loop of this thread."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        page.wait_for_timeout(500)


def sites(machine: Machine) -> dict[str, Any]:
    return {row["site"]: row for row in machine.api("/api/browsers/sites?range=15m")["sites"]}


def domain_row(machine: Machine, name: str) -> dict[str, Any]:
    query = urllib.parse.urlencode({"range": "15m", "filter": f"domain = {name}"})
    rows = machine.api(f"/api/domains?{query}")["domains"]
    return rows[0] if rows else {}


def served(machine: Machine, name: str) -> dict[str, int]:
    """Bytes of the IP packets of all ended connections to a name, as the server's kernel counted them."""
    rows = [json.loads(line) for line in (machine.data_dir.parent / "tls.log").read_text().splitlines()]
    return {key: sum(row[key] for row in rows if row["name"] == name) for key in ("sent", "received")}


SLACK = 4_000
"""Bytes: the questions and answers of DNS for a name, and the ends of connections that the server did not see."""


def test_the_bytes_of_a_page_are_its_sites_wherever_they_came_from(tmp_path: Path) -> None:
    with machine_and_world() as (machine, _world):
        machine.start()
        with chromium_in(machine, tmp_path) as context:
            pair(machine, context)
            page = context.new_page()
            page.goto("https://www.first.example/page/")

            def is_told() -> bool:
                return any(one["sends_pairs"] for one in machine.api("/api/browser/status")["browsers"])

            until(page, is_told, 40)
            page.goto("https://www.shop.example/page/both.test:200000?secret=1")

            def is_of(site: str, amount: int) -> Callable[[], bool]:
                return lambda: bool(
                    sites(machine).get(site, {}).get("bytes_in", 0) > amount and sites(machine)[site]["seconds"] > 0
                )

            until(page, is_of("www.shop.example", 200_000), 60)
            page.goto("https://www.news.example/page/cdn.ads.test:3000000,both.test:210000?secret=2")
            until(page, is_of("www.news.example", 3_000_000), 60)
            until(page, lambda: bool(domain_row(machine, "both.test").get("bytes_in", 0) > 410_000), 30)

        # All connections have ended with the browser: each byte that the servers' kernel counted is there, once.
        for name in ("cdn.ads.test", "both.test"):

            def all_is_there(name: str = name) -> bool:
                row, counted = domain_row(machine, name), served(machine, name)
                return (
                    0 <= row["bytes_in"] - counted["sent"] <= SLACK
                    and 0 <= row["bytes_out"] - counted["received"] <= SLACK
                    and counted["sent"] > 400_000
                )

            with contextlib.suppress(AssertionError):
                wait_until(all_is_there, within=30, every=1)
            assert all_is_there(), (name, domain_row(machine, name), served(machine, name))

        news = sites(machine)["www.news.example"]
        assert (news["host"], news["browser"]) == ("box.netally.test", "Chromium")
        site = machine.api(f"/api/domains/{news['id']}/site?range=15m")
        third = {one["name"]: one for one in site["hosts"]}["cdn.ads.test"]
        assert third["third_party"]
        ads = domain_row(machine, "cdn.ads.test")
        assert (third["bytes_in"], third["bytes_out"]) == (ads["bytes_in"], ads["bytes_out"])
        # Every domain tells with which browser, and all of this was this one's.
        assert [user["name"] for user in ads["applications"]] == ["chromium"]
        # Loaded by one site it is that site's; asked for by both within two minutes, nobody's, and told as such.
        both = domain_row(machine, "both.test")
        of_both = machine.api(f"/api/domains/{both['id']}/site?range=15m")
        (of_shop,) = of_both["sites"]
        assert of_shop["name"] == "www.shop.example"
        assert of_shop["bytes_in"] + of_both["unjoined_bytes_in"] == both["bytes_in"]
        assert of_shop["bytes_out"] + of_both["unjoined_bytes_out"] == both["bytes_out"]
        assert 200_000 < of_shop["bytes_in"] < 200_000 * 1.05 + SLACK
        assert 210_000 < of_both["unjoined_bytes_in"] < 210_000 * 1.05 + 2 * SLACK
        (joined,) = machine.api("/api/browsers/sites?range=15m")["browsers"]
        everything = machine.api("/api/browsers?range=15m")["browsers"][0]
        assert joined["joined_bytes_in"] + joined["unjoined_bytes_in"] == everything["bytes_in"]
        # The share that could not be joined is on the pages, not shared out.
        certain, without = (joined[f"{key}_bytes_in"] + joined[f"{key}_bytes_out"] for key in ("joined", "unjoined"))
        assert without > 0
        assert f">{figures.percent(certain / (certain + without))}</td>" in machine.page("/browsers?range=15m")
        html = machine.page(f"/domains/{both['id']}?range=15m")
        unknown = figures.amount(of_both["unjoined_bytes_in"] + of_both["unjoined_bytes_out"])
        assert f"{unknown} without a known site" in html
        assert "www.shop.example" in html
        for path in ("/browsers?range=15m", f"/domains/{news['id']}?range=15m", "/domains?range=15m"):
            html = machine.page(path)
            assert "www.news.example" in html
            assert "cdn.ads.test" in html or path.startswith("/browsers")
            assert "Chromium" in html
            assert "secret" not in html
            assert "private title" not in html
        machine.stop()
