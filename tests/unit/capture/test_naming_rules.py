"""Naming rules: the first that fits renames, groups become one app."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netally.capture.naming_rules import parse_rules
from netally.contracts.flow import MAX_NAME, App

CHROME = App("chrome", "/opt/google/chrome/chrome", "ann", "", "")
POD = App("nginx", "/usr/sbin/nginx", "root", "pod/1234", "abcdef012345")


def test_the_first_rule_that_fits_wins() -> None:
    rename = parse_rules("name=chrom* -> Chrome of {user}; name=* -> everything else")
    assert rename(CHROME).name == "Chrome of ann"
    assert rename(POD).name == "everything else"


def test_programs_that_a_rule_groups_are_one_app() -> None:
    rename = parse_rules("executable=/opt/google/* -> Google")
    helper = App("chrome_crashpad", "/opt/google/chrome/chrome_crashpad_handler", "ann")
    assert rename(CHROME) == rename(helper) == App("Google", "", "ann")


def test_pods_and_containers_can_be_names() -> None:
    assert parse_rules("unit=pod/* -> {unit} {name}")(POD).name == "pod/1234 nginx"
    assert parse_rules("container=?* -> container {container}")(POD).name == "container abcdef012345"
    assert parse_rules("container=?* -> container {container}")(CHROME) is CHROME


def test_without_rules_or_a_name_that_comes_out_empty_nothing_changes() -> None:
    assert parse_rules(" ; ")(POD) is POD
    assert parse_rules("name=chrome -> {container}")(CHROME) is CHROME


@given(st.text(max_size=30), st.text(max_size=400))
def test_any_name_is_fit_for_the_wire(pattern: str, user: str) -> None:
    try:
        rename = parse_rules(f"name={pattern or '*'} -> {{user}}")
    except ValueError:
        return
    assert len(rename(App("x", user=user)).name) <= MAX_NAME
