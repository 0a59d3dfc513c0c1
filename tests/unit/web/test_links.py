from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from netally.web.links import to_application, to_domain, to_host


def test_names_of_any_kind_come_through_an_address() -> None:
    for name in ("curl", "a b&c=d", "Ünï/?#%", '"quoted"'):
        for address in (to_application(name), to_domain(name, ""), to_host(name)):
            assert parse_qs(urlsplit(address).query) == {"name": [name]}


def test_what_has_no_name_leads_to_what_is_known_of_it() -> None:
    assert to_application("") == "/applications/0"
    asked = parse_qs(urlsplit(to_domain("", "2001:db8::7")).query)
    assert asked == {"range": ["1h"], "by": ["app"], "filter": ["remote = 2001:db8::7"]}
    assert to_domain("", "") == ""
