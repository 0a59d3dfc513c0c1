"""What holds for every page, in both themes: axe-core finds nothing, the console is clean, nothing comes from
elsewhere or stands inline, nothing jumps, a phone needs no sideways scrolling, and a page weighs at most 250 kB.

A new page, or a state of one, is a row of ``CASES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, Page
from selectolax.lexbor import LexborHTMLParser

from netally.contracts.command_answers import CommandOrder
from netally.contracts.queries import SavedView, Session
from tests.e2e.test_pages import Reading, chromium, read, served  # noqa: F401  (fixtures)
from tests.fake_api import FakeApi
from tests.npm_package import package_directory, pinned

pytestmark = pytest.mark.browser

MOST_BYTES = 250_000
MOST_SHIFT = 0.1
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

SHIFTS = """window.shift = 0; new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({type: "layout-shift", buffered: true});"""

FINDINGS = """async (tags) =>
    (await axe.run(document, {runOnly: tags, resultTypes: ["violations"]})).violations.flatMap((found) =>
        found.nodes.map((node) => `${found.id}: ${node.target} ${node.failureSummary}`))"""

WEIGHT = """() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
    .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""


def as_it_is(fake: FakeApi) -> None:
    """The API answers and has figures."""


def nothing_yet(fake: FakeApi) -> None:
    fake.hosts, fake.apps, fake.domains, fake.more_apps, fake.measured_share = [], [], [], 0, 0.0


def two_of_five(fake: FakeApi) -> None:
    fake.hosts = ["gw-berlin", "nas-01", "build-02", "lap-03", "lap-04"]
    fake.silent = ["build-02", "lap-03", "lap-04"]
    fake.measured_share = 0.4


def late(fake: FakeApi) -> None:
    fake.late_seconds = 900


def seen_by_a_viewer(fake: FakeApi) -> None:
    fake.session = Session("guest", None, "viewer")
    fake.views = [SavedView("v1", "Nightly backups", "/explore?by=app", "admin", 1_795_305_600_000)]
    # As the API answers who may not.
    fake.broken = {"/api/tokens": 403}


def database_away(fake: FakeApi) -> None:
    fake.broken = dict.fromkeys(("/api/applications", "/api/stats/timeline", "/api/conservation", "/api/hosts"), 503)


def nobody_runs_commands(fake: FakeApi) -> None:
    fake.aggregator = False
    fake.order(CommandOrder("aggregate"))


COMMAND = "c0" * 16


def _ordered(fake: FakeApi, order: CommandOrder) -> None:
    """The command with the id that the cases ask for."""
    row = fake.order(order)
    fake.ledger[-1] = msgspec.structs.replace(fake.ledger[-1], id=COMMAND)
    fake.happened[COMMAND] = fake.happened.pop(row.id)


def clean_up_previewed(fake: FakeApi) -> None:
    _ordered(fake, CommandOrder("cleanup", dry_run=True))


def clean_up_previewed_by_others(fake: FakeApi) -> None:
    clean_up_previewed(fake)
    seen_by_a_viewer(fake)


def retention_previewed(fake: FakeApi) -> None:
    _ordered(fake, CommandOrder("set-retention", {"raw": 30}, dry_run=True))


def export_running(fake: FakeApi) -> None:
    fake.holds = True
    _ordered(fake, CommandOrder("export", {"from": 1_795_000_000_000, "to": 1_795_305_600_000}))
    fake.tell(COMMAND, "progress", "18300000 rows, 431.0 MB", {"share": 0.63})


def export_done(fake: FakeApi) -> None:
    _ordered(fake, CommandOrder("export", {"from": 1_795_000_000_000, "to": 1_795_305_600_000}))


def command_failed(fake: FakeApi) -> None:
    fake.results = {**fake.results, "aggregate": ("failed", "the disk is full; free space and run it again", {})}
    _ordered(fake, CommandOrder("aggregate"))


class Case(msgspec.Struct, frozen=True):
    """A page in a state."""

    path: str
    state: Callable[[FakeApi], None] = as_it_is
    status: int = 200

    @property
    def name(self) -> str:
        state = "" if self.state is as_it_is else f" {self.state.__name__}"
        return f"{self.path}{state}"


CASES = [
    Case("/?range=24h"),
    Case("/?range=1y&split=domain"),
    Case("/", nothing_yet),
    Case("/", two_of_five),
    Case("/?range=1h", late),
    Case("/live"),
    Case("/live?filter=nothing+of+that+name"),
    Case("/live", nothing_yet),
    Case("/live", two_of_five),
    Case("/applications"),
    Case("/applications", nothing_yet),
    Case("/applications?filter=app+%3D+%3D+curl", status=400),
    Case("/applications/2?range=24h"),
    Case("/domains"),
    Case("/domains", nothing_yet),
    Case("/domains?view=flat"),
    Case("/domains/5?range=24h&split=app"),
    Case("/hosts"),
    Case("/hosts", two_of_five),
    Case("/hosts?find=nowhere"),
    Case("/hosts/3", two_of_five),
    Case("/history"),
    Case("/history?range=1y"),
    Case("/history", nothing_yet),
    Case("/explore?by=app&then=host"),
    Case("/explore", nothing_yet),
    Case("/explore", two_of_five),
    Case("/operations"),
    Case("/settings"),
    Case("/settings", nothing_yet),
    Case("/tokens"),
    Case("/browsers"),
    Case("/", database_away),
    Case("/applications", database_away, status=503),
    Case("/applications/named?name=moves+but+is+not+stored", status=404),
    Case("/explore?filter=port+%3D+%3D+1", status=400),
    Case("/explore", seen_by_a_viewer),
    Case("/operations", seen_by_a_viewer),
    Case("/settings", seen_by_a_viewer),
    Case("/hosts/2", seen_by_a_viewer),
    Case("/tokens", seen_by_a_viewer, status=403),
    Case("/operations", nobody_runs_commands),
    Case(f"/operations/commands/{COMMAND}", clean_up_previewed),
    Case(f"/operations/commands/{COMMAND}", retention_previewed),
    Case(f"/operations/commands/{COMMAND}", export_running),
    Case(f"/operations/commands/{COMMAND}", export_done),
    Case(f"/operations/commands/{COMMAND}", command_failed),
    Case(f"/operations/commands/{COMMAND}", clean_up_previewed_by_others),
    Case("/_components"),
    Case("/login"),
    Case("/no-such-page", status=404),
    Case("/?range=2h", status=400),
]


@pytest.fixture(scope="module")
def axe() -> str:
    """The text of the script."""
    return (package_directory(pinned(Path(__file__).parent / "axe.json")) / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def reader(chromium: Browser, served: tuple[FakeApi, str]) -> Iterator[Reading]:  # noqa: F811
    """One browser for all cases: a case costs a page, not a start."""
    context, reading = read(chromium, *served)
    context.add_init_script(SHIFTS)
    # From here on the server knows the zone; the first page is read twice for it.
    reading.open("/login").wait_for_function("document.body.dataset.zone === 'Europe/Berlin'")
    yield reading
    context.close()


def settled(page: Page) -> None:
    """Until fonts are there and the charts have drawn themselves, in the width that they have now."""
    page.evaluate("document.fonts.ready")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.wait_for_function(
        "[...document.querySelectorAll('traffic-chart')].every((chart) => chart.querySelector('canvas'))"
    )


def inline_parts(html: str) -> list[str]:
    """What a page carries within itself and should not: scripts, styles, remarks of who wrote it."""
    tree = LexborHTMLParser(html)
    found = [str(node.tag) for node in tree.css("script:not([src]):not([type='application/json']), style, [style]")]
    handlers = [name for node in tree.css("*") for name in node.attributes if name.startswith("on")]
    return found + handlers + ["comment"] * html.count("<!--")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_page_keeps_the_rules(
    case: Case,
    reader: Reading,
    axe: str,
    served: tuple[FakeApi, str],  # noqa: F811
) -> None:
    fake, url = served
    fresh = FakeApi()
    for name in FakeApi.__struct_fields__:
        if name != "live_streams":
            setattr(fake, name, getattr(fresh, name))
    case.state(fake)
    page = reader.page
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light")
    reader.faults.clear()
    reader.origins.clear()
    answer = page.goto(url + case.path)
    assert answer is not None
    assert answer.status == case.status
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert inline_parts(answer.text()) == []
    settled(page)
    weight = page.evaluate(WEIGHT)
    assert weight < MOST_BYTES, f"the page weighs {weight} bytes"
    page.evaluate(axe)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        settled(page)
        assert page.evaluate(FINDINGS, WCAG) == [], scheme
    assert page.evaluate("window.shift") < MOST_SHIFT
    page.set_viewport_size({"width": 390, "height": 844})
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(FINDINGS, WCAG) == [], "on a phone"
    # A page that is an error is one in the console as well.
    assert [fault for fault in reader.faults if f"{case.status}" not in fault or case.status == 200] == []
    assert reader.origins == {url}


def test_axe_would_find_something(reader: Reading, axe: str, served: tuple[FakeApi, str]) -> None:  # noqa: F811
    page = reader.page
    page.goto(served[1] + "/login")
    page.evaluate(axe)
    page.evaluate("document.querySelector('main').append(document.createElement('img'))")
    assert [found.partition(":")[0] for found in page.evaluate(FINDINGS, WCAG)] == ["image-alt"]
