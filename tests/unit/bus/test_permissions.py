from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netally.bus.permissions import api_permissions, host_permissions

FOR_NEW_HOSTS = "$JS.API.DIRECT.GET.KV_settings.$KV.settings.new-hosts"

hosts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


def covers(pattern: str, subject: str) -> bool:
    """Whether a subject with wildcards covers another (NATS: ``*`` is one token, ``>`` one or more to the end)."""
    wanted, given_tokens = pattern.split("."), subject.split(".")
    for place, token in enumerate(wanted):
        if token == ">":
            return len(given_tokens) > place
        if place >= len(given_tokens) or (token != "*" and token != given_tokens[place]):
            return False
    return len(wanted) == len(given_tokens)


@given(hosts, hosts)
def test_no_host_may_say_what_another_says_whatever_their_names_hold(one: str, other: str) -> None:
    if one == other:
        return
    own, foreign = set(host_permissions(one)["publish"]), set(host_permissions(other)["publish"])
    # All of them may ask for the settings of hosts that have none of their own, and for nothing else alike.
    assert own & foreign == {FOR_NEW_HOSTS}
    assert not any(covers(pattern, subject) for pattern in own for subject in foreign - {FOR_NEW_HOSTS})


@given(hosts)
def test_no_name_of_a_host_is_a_wildcard(host: str) -> None:
    """What a host may publish holds no wildcard at all, and nothing of what it hears begins with one."""
    own = host_permissions(host)
    assert not any(token in ("*", ">") for subject in own["publish"] for token in subject.split("."))
    assert not any(subject.split(".")[0] in ("*", ">") for subject in own["subscribe"])


def test_the_api_cannot_write_flows_settings_or_outcomes() -> None:
    for subject in (
        "flows.v1.web-1",
        "agents.v1.web-1",
        "$KV.settings.hosts.web-1",
        "outcomes.v1.aggregator.1",
        "access.v1.changed",
    ):
        assert not any(covers(pattern, subject) for pattern in api_permissions()["publish"])
