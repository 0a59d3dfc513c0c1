"""A host is one subject token, and no two hosts share one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.bus import subjects

hosts = st.text(min_size=1, max_size=60) | st.from_regex(r"[a-z0-9._-]{1,30}", fullmatch=True)


@given(hosts)
def test_a_token_gives_its_host_back(host: str) -> None:
    assert subjects.host_of_token(subjects.host_token(host)) == host


@given(hosts, hosts)
def test_two_hosts_never_share_a_token(one: str, other: str) -> None:
    assert (subjects.host_token(one) == subjects.host_token(other)) == (one == other)


@given(hosts)
def test_a_token_is_one_token_of_a_subject(host: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", subjects.host_token(host))
    assert subjects.flows(host).count(".") == subjects.FLOWS.count(".") + 1


@pytest.mark.parametrize("token", ["_", "_4", "_zz", "a.b", "_41", "_ff", "a b", "_2E"])
def test_what_no_host_makes_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match=r"token|codec|invalid literal"):
        subjects.host_of_token(token)


def test_subjects_are_what_other_versions_use() -> None:
    host = "web-1.example.org"
    assert subjects.flows(host) == "flows.v1.web-1_2eexample_2eorg"
    assert subjects.agents(host) == "agents.v1.web-1_2eexample_2eorg"
    assert subjects.live(host) == "live.v1.web-1_2eexample_2eorg"
    assert subjects.command_to_aggregator("refresh") == "commands.v1.aggregator.refresh"
    assert subjects.command_to_host(host, "pause") == "commands.v1.host.web-1_2eexample_2eorg.pause"
    assert subjects.outcome("aggregator", "ab12") == "outcomes.v1.aggregator.ab12"
    assert subjects.deadletters("FLOWS") == "deadletters.v1.flows"
