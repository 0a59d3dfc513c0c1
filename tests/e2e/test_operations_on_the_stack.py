"""Every command by every way, in front of every real service: what it changes, wherever it was ordered."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from playwright.sync_api import expect, sync_playwright
from selectolax.lexbor import LexborHTMLParser

from tests.builders import make_batch, make_epoch, make_flow_record
from tests.e2e.test_pages import CHROMIUM, FLAGS
from tests.four_ways import WAYS, Stack
from tests.netally_up import Up

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]

HOST = "box.netally.test"
HOUR = 3_600_000
DAY = 24 * HOUR


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`netally up` whose agent has reported, with rollups up to now; and a browser in front of it."""
    files = tmp_path_factory.mktemp("files")
    up = Up(tmp_path_factory.mktemp("up") / "data", NETALLY_HOST=HOST, NETALLY_INTERVAL="1", NETALLY_TIMEZONE="UTC")
    try:
        up.start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            context = browser.new_context(
                base_url=f"http://127.0.0.1:{up.ports['WEB']}",
                timezone_id="UTC",
            )
            stack = Stack(up, HOST, context.new_page(), files)
            stack.page.goto("/login")
            stack.page.locator("[name=secret]").fill(up.token)
            stack.page.get_by_role("button", name="Sign in").click()
            stack.page.wait_for_url("**/")
            soon(lambda: stack.api.get("/api/config").json()["hosts"])
            arrive(stack, "history.example", days_ago(3))
            stack.order("api", "aggregate", {})
            yield stack
            stack.api.close()
            context.close()
            browser.close()
    finally:
        up.close()


def soon(check: Callable[[], Any], within: float = 20) -> Any:
    """The first true answer."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if found := check():
            return found
    raise AssertionError(f"not so within {within} s")


def days_ago(days: int) -> int:
    """Noon of a day in the past, epoch milliseconds."""
    return int(time.time() * 1000) // DAY * DAY - days * DAY + DAY // 2


def arrive(stack: Stack, host: str, start: int, **changes: Any) -> None:
    """A flow of a host is in the database."""
    stack.send(make_batch([make_flow_record(**changes)], host=host, epoch=make_epoch(), start=start))
    soon(lambda: stack.sql(f"SELECT count(*) FROM flow JOIN host ON id = host_id WHERE name = $1 {AT}", host, start))


AT = "AND time = to_timestamp($2 / 1000.0)"


@pytest.mark.parametrize("way", WAYS)
def test_pause_and_resume(stack: Stack, way: str) -> None:
    def newest() -> tuple[bool, int]:
        row = stack.sql("SELECT array[paused::int, measured_ms] FROM coverage ORDER BY time DESC LIMIT 1")
        return bool(row[0]), row[1]

    stack.order(way, "pause", {"hosts": [HOST]})
    soon(lambda: newest() == (True, 0))
    assert stack.sql("SELECT paused FROM agent JOIN host ON id = host_id WHERE name = $1", HOST)
    stack.order(way, "resume", {"hosts": [HOST]})
    soon(lambda: not newest()[0] and newest()[1] > 0)


@pytest.mark.parametrize("way", WAYS)
def test_set_interval_changes_the_batches(stack: Stack, way: str) -> None:
    wanted = 3 - stack.sql("SELECT interval_seconds FROM agent JOIN host ON id = host_id WHERE name = $1", HOST)
    stack.order(way, "set-interval", {"interval": wanted, "hosts": [HOST]})
    newest = (
        "SELECT interval_seconds FROM coverage JOIN host ON id = host_id WHERE name = $1 ORDER BY time DESC LIMIT 1"
    )
    soon(lambda: stack.sql(newest, HOST) == wanted)


@pytest.mark.parametrize("way", WAYS)
def test_set_log_level_changes_what_is_logged(stack: Stack, way: str) -> None:
    log = stack.up.data / "logs" / "aggregator.log"
    stack.order(way, "set-log-level", {"target": "aggregator", "level": "warning"})
    quiet = stack.order("api", "aggregate", {})
    stack.order(way, "set-log-level", {"target": "aggregator", "level": "info"})
    told = stack.order("api", "aggregate", {})
    wait_for = f'"id": "{told["id"]}"'
    soon(lambda: wait_for in log.read_text())
    assert quiet["id"] not in log.read_text()


@pytest.mark.parametrize("way", WAYS)
def test_set_naming_rules_changes_the_names(stack: Stack, way: str) -> None:
    name = f"everything by {way}"
    stack.order(way, "set-naming-rules", {"rules": f"name=* -> {name}"})
    soon(lambda: stack.sql("SELECT count(*) FROM flow JOIN app ON app.id = app_id WHERE app.name = $1", name) > 0)
    assert stack.api.get("/api/config").json()["naming_rules"] == f"name=* -> {name}"
    stack.order("bus", "set-naming-rules", {"rules": ""})


AGES = iter(range(24, 8, -2))
"""Days, each less than all before: of a time that a cleanup has dropped no row is taken any more."""


@pytest.mark.parametrize("way", WAYS)
def test_set_retention_decides_what_still_comes_in(stack: Stack, way: str) -> None:
    age = next(AGES)
    host, start = f"old-by-{way}.example", days_ago(age)
    stack.send(make_batch(host=host, epoch=make_epoch(), start=start))
    soon(lambda: stack.sql("SELECT sum(rows) FROM refused JOIN host ON id = host_id WHERE name = $1", host))
    stack.order(way, "set-retention", {"raw": age + 2})
    try:
        arrive(stack, host, start)
    finally:
        stack.order("bus", "set-retention", {"raw": 7})


@pytest.mark.parametrize("way", WAYS)
def test_set_config_decides_how_long_hosts_are_waited_for(stack: Stack, way: str) -> None:
    stack.sql(
        "WITH gone AS (INSERT INTO host (name) SELECT 'gone.example' RETURNING id) INSERT INTO agent "
        "SELECT gone.id, now(), now(), now(), '', 'packets', '', 5, false, '', 1, 0, 0, 0, 0, 0, '[]' FROM gone"
    )
    try:
        stack.order(way, "set-config", {"answer_seconds": 0.5})
        began = time.monotonic()
        late = stack.by_bus("pause", {"hosts": ["gone.example"]})
        assert (late["state"], late["result"]["silent"]) == ("failed", ["gone.example"])
        assert time.monotonic() - began < 8
    finally:
        stack.order("bus", "set-config", {"answer_seconds": 10})
        stack.order("bus", "purge", {"host": "gone.example"})


@pytest.mark.parametrize("way", WAYS)
def test_refresh_cache_puts_a_wrong_id_right(stack: Stack, way: str) -> None:
    host, start = f"cached-by-{way}.example", days_ago(2)
    arrive(stack, host, start)
    # Behind the aggregator's back: what it remembers is wrong now.
    stack.sql("UPDATE host SET name = 'renamed ' || name WHERE name = $1", host)
    done = stack.order(way, "refresh-cache", {})
    assert {one["service"] for one in done["result"]["instances"]} == {"aggregator", "api", "capture"}
    arrive(stack, host, start + HOUR)


@pytest.mark.parametrize("way", WAYS)
def test_purge_leaves_no_row(stack: Stack, way: str) -> None:
    host, start = f"purged-by-{way}.example", days_ago(1)
    arrive(stack, host, start)
    identity = stack.sql("SELECT id FROM host WHERE name = $1", host)
    done = stack.order(way, "purge", {"host": host})
    assert done["result"]["relations"]["flow"] == 1
    for relation in ("flow", "tally", "coverage", "flow_1m", "flow_1h"):
        assert stack.sql(f"SELECT count(*) FROM {relation} WHERE host_id = $1", identity) == 0, relation
    # Its next batch is a new host's.
    arrive(stack, host, start)
    assert stack.sql("SELECT id FROM host WHERE name = $1", host) != identity


@pytest.mark.parametrize("way", WAYS)
def test_aggregate_counts_what_came_late(stack: Stack, way: str) -> None:
    host = f"late-by-{way}.example"
    arrive(stack, host, days_ago(2), bytes_in=77_000)
    stack.order(way, "aggregate", {"tier": "all"})
    assert stack.sql("SELECT sum(bytes_in) FROM flow_1d JOIN host ON id = host_id WHERE name = $1", host) == 77_000
    stack.page.goto(f"/hosts?range=7d&filter=host+=+{host}")
    expect(stack.page.get_by_role("row", name=re.compile(host))).to_contain_text("77.0")


@pytest.mark.parametrize("way", WAYS)
def test_cleanup_deletes_what_is_too_old_and_keeps_its_sums(stack: Stack, way: str) -> None:
    age = next(AGES)
    host, start = f"aged-by-{way}.example", days_ago(age)
    stored = "SELECT sum(bytes_in) FROM flow_1h WHERE bucket < now() - interval '36 hours'"
    stack.order("bus", "set-retention", {"raw": age + 2})
    try:
        arrive(stack, host, start, bytes_in=5_000)
        stack.order("bus", "aggregate", {})
        stack.order("bus", "set-retention", {"raw": age - 1})
        before = stack.sql(stored)
        done = stack.order(way, "cleanup", {})
        assert done["result"]["tiers"]["raw"]["rows"] >= 1
        assert stack.sql(f"SELECT count(*) FROM flow JOIN host ON id = host_id WHERE name = $1 {AT}", host, start) == 0
        assert stack.sql(stored) == before
    finally:
        stack.order("bus", "set-retention", {"raw": 7})


@pytest.mark.parametrize("way", WAYS)
def test_export_holds_the_rows(stack: Stack, way: str) -> None:
    start = days_ago(3)
    file = stack.export(way, {"from": start, "to": start + HOUR, "tier": "raw", "format": "csv"}).decode()
    header, *lines = file.splitlines()
    (row,) = (dict(zip(header.split(","), line.split(","), strict=True)) for line in lines)
    assert (row["host"], row["domain"], row["bytes_in"], row["bytes_out"]) == (
        "history.example", "example.org", "1500", "300"
    )  # fmt: skip


def test_an_export_downloads_by_a_click_and_opens_in_pyarrow(stack: Stack) -> None:
    start = days_ago(3)
    file = stack.export("page", {"from": start, "to": start + HOUR, "tier": "raw", "format": "parquet"})
    (row,) = pyarrow.parquet.read_table(BytesIO(file)).to_pylist()
    assert (row["host"], row["domain"], row["bytes_in"], row["bytes_out"]) == (
        "history.example", "example.org", 1500, 300
    )  # fmt: skip


def test_the_csv_of_what_is_shown_downloads_by_a_click(stack: Stack) -> None:
    start, page = days_ago(4), stack.page
    arrive(stack, "csv-1.example", start, bytes_in=61_000_000, bytes_out=2_500_000)
    arrive(stack, "csv-2.example", start + HOUR, bytes_in=3_300_000, bytes_out=40_000_000)
    stack.order("bus", "aggregate", {})
    since, until = (f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%dT%H:%M}" for at in (start, start + 2 * HOUR))
    page.goto(f"/explore?from={since}&to={until}&tz=UTC&by=host&then=domain")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV of 2 groups").click()
    assert download.value.suggested_filename.endswith(".csv")
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert [(row["host"], row["bytes_in"], row["bytes_out"]) for row in rows] == [
        ("csv-1.example", "61000000", "2500000"), ("csv-2.example", "3300000", "40000000")
    ]  # fmt: skip
    sums = [f"{sum(int(row[way]) for row in rows) / 1e6:.1f}" for way in ("bytes_in", "bytes_out")]
    expect(page.locator("[aria-labelledby=h-g] thead")).to_contain_text("In MB")
    foot = page.locator("[aria-labelledby=h-g] tfoot td.n").all_inner_texts()
    assert [text.removeprefix("≥\u00a0").removeprefix("≥ ") for text in foot[:2]] == sums


def test_a_form_that_is_refused_names_its_field(stack: Stack) -> None:
    base = f"http://127.0.0.1:{stack.up.ports['WEB']}"
    for form, fields in (
        ("set-retention", {"raw": "30", "minutes": "10"}),
        ("export", {"from": "2026-01-01T00:00", "to": "2026-01-02T00:00", "filter": "port = = 1"}),
    ):
        refused = stack.api.post(f"{base}/operations/{form}", data=fields)
        assert refused.status_code == 400, refused.text
        assert LexborHTMLParser(refused.text).css(f"form[action='/operations/{form}'] [aria-invalid]")


def test_a_view_is_kept_and_forgotten_on_its_page(stack: Stack) -> None:
    page = stack.page
    page.goto("/explore?range=7d&by=domain&filter=app+%3D+curl")
    page.get_by_label("Keep this page as").fill("What curl does")
    page.get_by_role("button", name="Save view").click()
    page.wait_for_url("**#views")
    assert stack.sql("SELECT query FROM saved_view WHERE name = 'What curl does'") == (
        "/explore?range=7d&by=domain&filter=app+%3D+curl"
    )
    page.goto("/explore")
    page.get_by_role("link", name="What curl does").click()
    expect(page.locator("#filter")).to_have_value("app = curl")
    page.get_by_role("button", name="Delete view What curl does").click()
    expect(page.locator("#views")).to_contain_text("None yet.")
    assert stack.sql("SELECT count(*) FROM saved_view") == 0


def test_a_host_is_paused_and_resumed_on_its_page(stack: Stack) -> None:
    page = stack.page
    page.goto(f"/hosts?find={HOST}")
    page.get_by_role("link", name=HOST).click()
    here = page.url
    for button, word in (("Pause capture", "paused"), ("Resume capture", "capturing")):
        page.get_by_role("button", name=button).click()
        page.wait_for_url("**/operations/commands/*")
        expect(page.locator("h1")).to_contain_text("done")
        paused = stack.sql("SELECT paused FROM agent JOIN host ON id = host_id WHERE name = $1", HOST)
        assert paused == (word == "paused")
        page.goto(here)
        expect(page.locator("[aria-labelledby=h-s] tbody tr").first.locator("td").nth(1)).to_have_text(word)
