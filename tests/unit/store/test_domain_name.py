"""The stored form of domain names."""

from __future__ import annotations

import pytest

from netally.store.domain_name import stored_form


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        *(("GitHub.com", "github.com"), ("github.com.", "github.com"), ("_dmarc.A_b", "_dmarc.a_b"), ("", "")),
        *(
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("straße.de", "xn--strae-oqa.de"),
            ("日本。jp", "xn--wgv71a.jp"),
        ),
        *(("xn--bcher-kva.example", "xn--bcher-kva.example"), ("a_b.bücher.example", "a_b.xn--bcher-kva.example")),
    ],
)
def test_names_as_the_tables_hold_them(text: str, stored: str) -> None:
    assert stored_form(text) == stored
    assert stored_form(stored) == stored


@pytest.mark.parametrize("text", ["ü" * 80, "\u0300.com", "a\u200db.ü"])
def test_what_no_domain_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no domain name"):
        stored_form(text)
