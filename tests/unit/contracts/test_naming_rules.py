"""Naming rules as people write them: in order, one a line or behind semicolons; mistakes are told."""

from __future__ import annotations

import pytest

from netally.contracts.naming_rules import NamingRule, read_rules


def test_rules_in_their_order() -> None:
    assert read_rules(" name = chrom*->Chrome of {user} ;\n unit=pod/* -> {unit}\n;") == [
        NamingRule("name", "chrom*", "Chrome of {user}"),
        NamingRule("unit", "pod/*", "{unit}"),
    ]
    assert read_rules(" ; ") == []


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("chrome", "FIELD=PATTERN"),
        ("name=x ->", "FIELD=PATTERN"),
        ("colour=red -> x", "'colour'"),
        ("name=x -> {colour}", "'colour'"),
    ],
)
def test_a_mistake_is_told(rule: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_rules(f"name=a -> b; {rule}")
