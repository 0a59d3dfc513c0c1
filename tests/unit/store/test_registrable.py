"""Registrable domains: the key of roll-ups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.store.registrable import registrable_domain


@pytest.mark.parametrize(
    ("name", "registrable"),
    [
        ("codeload.github.com", "github.com"),
        ("github.com", "github.com"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("ada.github.io", "ada.github.io"),
        ("x.ada.github.io", "ada.github.io"),
        ("www.city.kawasaki.jp", "city.kawasaki.jp"),
        ("www.a.b.kawasaki.jp", "a.b.kawasaki.jp"),
        ("WWW.BÜCHER.example", "xn--bcher-kva.example"),
        ("www.食狮.公司.cn", "xn--85x722f.xn--55qx5d.cn"),
        ("www.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"),
        ("printer.unknown-tld", "printer.unknown-tld"),
        ("_ldap._tcp.example.org", "example.org"),
    ],
)
def test_the_part_that_one_owner_registered(name: str, registrable: str) -> None:
    assert registrable_domain(name) == registrable


@pytest.mark.parametrize("name", ["com", "co.uk", "github.io", "localhost", "", "192.0.2.7", "2001:db8::1", "a..b"])
def test_a_name_without_such_a_part_stands_for_itself(name: str) -> None:
    assert registrable_domain(name) == name


@given(st.text(max_size=80))
def test_any_text_has_one_and_keeps_it(name: str) -> None:
    once = registrable_domain(name)
    assert registrable_domain(once) == once
