"""Domains that browsers report, in the form that flows have them in."""

from __future__ import annotations

import pytest

from netally.api.browser_reports import site_name
from netally.api.problems import ProblemError


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("WWW.Example.ORG.", "www.example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("printer_1", "printer_1"),
        ("192.168.1.1", "192.168.1.1"),
        ("[2001:DB8:0:0::1]", "2001:db8::1"),
    ],
)
def test_a_domain_is_stored_as_flows_have_it(text: str, stored: str) -> None:
    assert site_name(text) == stored


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "a..b", "a b", "example.org/path", "example.org?q", "example.org:443", "user@example.org",
        "https://example.org", "1.2.3", "300.1.1.1", "x" * 64 + ".org", "a." * 127 + "org", "evil\0.org",
    ],
)  # fmt: skip
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(ProblemError) as refused:
        site_name(text, "pairs")
    assert (refused.value.problem.status, refused.value.problem.parameter) == (400, "pairs")
