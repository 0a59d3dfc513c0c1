from __future__ import annotations

import time

from selectolax.lexbor import LexborHTMLParser

from netally.web.live_page import sse
from tests.services import wait_until
from tests.unit.web.conftest import Site


def test_the_live_stream_is_html_for_both_parts_and_ends_with_its_reader(site: Site) -> None:
    with site.client.stream("GET", "/live/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in stream.headers
        started = time.monotonic()
        lines = stream.iter_lines()
        event = ""
        for line in lines:
            if not line:
                break
            assert line.startswith("data: ")
            event += line[6:] + "\n"
        assert time.monotonic() - started < 2
        assert 'hx-target="#readings"' in event
        assert 'hx-target="#movers"' in event
        assert "restic" in event
        assert site.fake.live_streams == 1
    wait_until(lambda: site.fake.live_streams == 0)


def test_the_live_stream_says_when_the_api_fails_and_goes_on(site: Site) -> None:
    with site.client.stream("GET", "/live/events", timeout=10) as stream:
        lines = stream.iter_lines()
        site.fake.broken = {"/api/live": 503}
        # Streams that are open go on; a new one meets the fault.
        assert next(lines).startswith("data: ")
    with site.client.stream("GET", "/live/events", timeout=10) as stream:
        lines = stream.iter_lines()
        text = next(line for line in lines if "tried again every 2 s" in line)
        assert "The database did not answer within 5 s." in text
        site.fake.broken = {}
        next(line for line in lines if "<hx-partial" in line)
        for line in lines:
            if "</hx-partial>" in line:
                break
            assert "tried again" not in line


def test_events_keep_their_lines() -> None:
    assert sse("a\nb") == "data: a\ndata: b\n\n"
    assert sse("x", event="reload") == "event: reload\ndata: x\n\n"


def test_the_live_page_is_whole_without_scripts(site: Site) -> None:
    page = LexborHTMLParser(site.html("/live?filter=firefox"))
    names = [node.text(strip=True) for node in page.css("#tree tbody th")]
    assert names[0] == "firefox"
    assert "googlevideo.comnas-01" in names
    assert not [name for name in names if "restic" in name]
    assert page.css_first("#live").attributes["hx-sse:connect"] == "/live/tree/events?filter=firefox"  # type: ignore[union-attr]
    assert 'href="/live?filter=firefox"' in page.css_first("noscript").html  # type: ignore
    none = site.html("/live?filter=nothing%20at%20all")
    assert "None of the 11 movers of the last 60 s has “nothing at all”" in none


def test_the_live_page_says_what_is_missing(site: Site) -> None:
    site.fake.silent = ["lap-03"]
    page = LexborHTMLParser(site.html("/live"))
    assert "3 of 4 hosts report." in page.css_first(".note.partial").text()  # type: ignore[union-attr]
    site.fake.hosts = site.fake.silent = []
    assert "No host reports yet." in site.html("/live")


def test_the_stream_of_the_live_page_keeps_to_its_filter(site: Site) -> None:
    with site.client.stream("GET", "/live/tree/events?filter=restic") as stream:
        event = ""
        for line in stream.iter_lines():
            if not line:
                break
            event += line
    assert 'hx-target="#tree"' in event
    assert "backblazeb2.com" in event
    assert "googlevideo.com" not in event
    wait_until(lambda: site.fake.live_streams == 0)


def test_a_stream_opens_while_the_api_is_away_and_goes_on_when_it_is_back(site: Site) -> None:
    site.fake.broken = {"/api/stats/bandwidth": 503}
    for path in ("/live/events", "/live/tree/events"):
        site.fake.broken = {"/api/stats/bandwidth": 503}
        with site.client.stream("GET", path, timeout=10) as stream:
            assert stream.status_code == 200
            lines = stream.iter_lines()
            next(line for line in lines if "The database did not answer within 5 s." in line)
            next(line for line in lines if "Not known while the API does not answer." in line)
            site.fake.broken = {}
            next(line for line in lines if "restic" in line)
