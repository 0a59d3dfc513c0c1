from __future__ import annotations

from netally.api.config import _given, _host
from netally.contracts.command_answers import AggregateBody
from netally.contracts.live_settings import HostSettings


def test_only_what_is_given_is_ordered() -> None:
    assert _given(None) == {}
    assert _given(AggregateBody(from_="2026-11-22")) == {"tier": "all", "from": "2026-11-22"}


def test_a_host_follows_when_it_reports_the_version() -> None:
    agent = {"name": "a", "settings_version": 2, "paused": False, "interval_seconds": 5}
    assert _host(agent, HostSettings(2, paused=False)).follows
    late = _host(agent, HostSettings(3, paused=True))
    assert (late.follows, late.desired_paused, late.actual_paused) == (False, True, False)
