from __future__ import annotations

from selectolax.lexbor import LexborHTMLParser

from tests.unit.web.conftest import Site
from tests.unit.web.test_pages import one


def frame_of(site: Site, cookie: str = "") -> tuple[str | None, str]:
    """Theme and zone words of the overview."""
    tree = LexborHTMLParser(site.client.get("/", headers={"Cookie": cookie}).text)
    return one(tree, "html").attributes.get("data-theme"), one(tree, ".who").text(strip=True)


def test_theme_and_zone_come_from_the_viewers_cookies(site: Site) -> None:
    theme, zone = frame_of(site, cookie="theme=dark; tz=Asia%2FTokyo")
    assert theme == "dark"
    assert "Asia/Tokyo" in zone


def test_cookies_that_make_no_sense_change_nothing(site: Site) -> None:
    expected = frame_of(site)
    for cookie in ("theme=%22%3E%3Cscript%3E", "theme=../..", "tz=../../etc/passwd", "tz=Mars/Olympus", "tz="):
        assert frame_of(site, cookie) == expected


def test_every_request_has_an_id_of_its_own(site: Site) -> None:
    ids = {site.client.get("/hosts").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
