"""The operations page in front of every real service: what the forms order is carried out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser

from tests.netally_up import Up
from tests.services import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A signed-in client of the pages of a running `netally up` whose host has reported."""
    up = Up(tmp_path_factory.mktemp("up") / "data", NETALLY_HOST="box.netally.test")
    up.start()
    headers = {"Authorization": f"Bearer {up.token}"}
    base = f"http://127.0.0.1:{up.ports['WEB']}"
    try:
        with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=30) as client:
            wait_until(lambda: "box.netally.test" in client.get("/operations").text, within=60, every=0.5)
            yield client
    finally:
        up.close()


def carried_out(pages: httpx.Client, path: str, **fields: str) -> tuple[str, str]:
    """Path and text of a command's page once it has ended."""
    answer = pages.post(path, data=fields)
    assert answer.status_code == 303, answer.text
    location = answer.headers["location"]

    def ended() -> str:
        tree = LexborHTMLParser(pages.get(location).text)
        return "" if tree.css("[hx-sse\\:connect]") else " ".join(tree.css("main")[0].text(separator=" ").split())

    return location, wait_until(ended, within=60, every=0.3)


def test_aggregation_runs_and_says_what_it_wrote(pages: httpx.Client) -> None:
    _, words = carried_out(pages, "/operations/aggregate", tier="all")
    assert words.startswith("All operations Run aggregation done")
    assert "1 minute" in words or "outstanding" in words
    assert "Run aggregation" in pages.get("/operations?command=aggregate&state=succeeded").text


def test_a_clean_up_is_previewed_and_nothing_of_a_new_history_is_old_enough(pages: httpx.Client) -> None:
    _, words = carried_out(pages, "/operations/cleanup")
    assert "Clean up preview" in words
    assert "Nothing is changed yet." in words
    assert "Nothing is old enough to go." in words
    assert "to confirm" not in words


def test_a_retention_is_previewed_refused_at_its_field_and_saved(pages: httpx.Client) -> None:
    refused = pages.post("/operations/set-retention", data={"raw": "30", "minutes": "10"})
    assert refused.status_code == 400
    tree = LexborHTMLParser(refused.text)
    assert tree.css("form[action='/operations/set-retention'] [aria-invalid]")
    location, words = carried_out(pages, "/operations/set-retention", minutes="40")
    assert "1 minute, days 30 40" in words
    assert "What it costs" in words
    _, words = carried_out(pages, f"{location}/confirm")
    assert "Set retention done" in words
    tree = LexborHTMLParser(pages.get("/operations").text)
    assert tree.css("input[name=minutes]")[0].attributes["value"] == "40"


def test_a_host_follows_its_interval(pages: httpx.Client) -> None:
    _, words = carried_out(pages, "/operations/set-interval", hosts="box.netally.test", interval="2")
    assert "box.netally.test every 5 s every 2 s followed" in words.replace("\u00a0", " ")


def test_an_export_is_written_and_downloaded(pages: httpx.Client) -> None:
    now = time.time()
    start, end = (time.strftime("%Y-%m-%dT%H:%M", time.gmtime(now + shift)) for shift in (-7200, 7200))
    form = {"from": start, "to": end, "tz": "UTC", "tier": "raw", "format": "csv"}
    location, words = carried_out(pages, "/operations/export", **form)
    assert "Export done" in words, words
    (link,) = LexborHTMLParser(pages.get(location).text).css("a[download]")
    answer = pages.get(str(link.attributes["href"]))
    assert answer.status_code == 200
    assert Path(str(link.attributes["download"])).suffix == ".csv"
    assert answer.text.startswith("time,")
    refused = pages.post("/operations/export", data={**form, "filter": "port = = 1"})
    assert refused.status_code == 400
    assert LexborHTMLParser(refused.text).css("[name=filter][aria-invalid]")
