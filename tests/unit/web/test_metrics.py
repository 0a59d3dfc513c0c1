from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.web.conftest import Site


def pages_counted(site: Site) -> dict[tuple[str, str], float]:
    text = httpx.get(f"{site.url}/metrics", trust_env=False).text
    return {
        (sample.labels["page"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "netally_web_page_seconds_count"
    }


def test_a_page_is_counted_by_its_name_whatever_was_asked_for(site: Site) -> None:
    site.html("/hosts")
    before = pages_counted(site)
    site.html("/hosts?range=7d")
    site.html("/no/such/page-1", 404)
    site.html("/no/such/page-2", 404)
    after = pages_counted(site)
    grown = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}
    assert grown[next(key for key in grown if "host" in key[0] and key[1] == "200")] == 1
    # Anyone can make up paths; none of them becomes a label.
    assert not [key for key in after if "no/such" in key[0] or "page-1" in key[0]]
