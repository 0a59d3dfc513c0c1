from __future__ import annotations

from typing import Any

import pytest

from netally.api.app import create_app
from netally.api.permissions import (
    ADMIN,
    ALL_HOSTS,
    ANONYMOUS,
    BROWSER,
    NEEDS,
    OPERATOR,
    THIS_MACHINE,
    VIEWER,
    allowed_command,
    check_role,
    shown,
)
from netally.api.problems import ProblemError
from netally.api.settings import Settings
from netally.contracts.commands import COMMANDS
from netally.contracts.queries import Session


def session(role: str = VIEWER, hosts: list[str] | None = None) -> Session:
    return Session(actor="someone", expires_at=None, role=role, hosts=hosts)


def refused(role: str, options: dict[str, Any], hosts: list[str] | None = None) -> bool:
    try:
        check_role(session(role, hosts), options)
    except ProblemError as error:
        return error.problem.status == 403
    return False


def test_a_role_may_what_those_below_it_may() -> None:
    roles = (VIEWER, OPERATOR, ADMIN)
    for place, role in enumerate(roles):
        assert [refused(role, {NEEDS: needs}) for needs in roles] == [need > place for need in range(3)]


def test_what_declares_nothing_is_for_admins() -> None:
    assert [refused(role, {}) for role in (VIEWER, OPERATOR, ADMIN)] == [True, True, False]


def test_a_token_for_some_hosts_does_nothing_that_concerns_all() -> None:
    assert not refused(OPERATOR, {NEEDS: OPERATOR}, ["a"])
    assert refused(OPERATOR, {NEEDS: OPERATOR, ALL_HOSTS: True}, ["a"])
    # There is no such token; should there be one, it is no admin.
    assert refused(ADMIN, {NEEDS: ADMIN}, ["a"])


def test_every_handler_declares_what_it_needs_and_the_document_says_it() -> None:
    app = create_app(Settings())
    paths = app.openapi_schema.to_schema()["paths"]
    seen = set()
    for route in app.routes:
        for method, (handler, _) in getattr(route, "route_handler_map", {}).items():
            if method == "OPTIONS":
                continue
            needs = handler.opt.get(NEEDS)
            assert needs in (ANONYMOUS, THIS_MACHINE, BROWSER, VIEWER, OPERATOR, ADMIN), (route.path, method)
            seen.add(needs)
            operation = paths.get(route.path_format, {}).get(method.lower())
            if operation is None:
                continue
            if needs == ANONYMOUS:
                assert operation["security"] == [{}]
                continue
            role = OPERATOR if needs == THIS_MACHINE else needs
            assert {"token": [role]} in operation["security"], (route.path, method)
            assert {"401", "403"} <= set(operation["responses"]), (route.path, method)
    assert seen == {ANONYMOUS, THIS_MACHINE, BROWSER, VIEWER, OPERATOR, ADMIN}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("role", [VIEWER, OPERATOR, ADMIN])
def test_a_command_takes_the_role_that_it_says(name: str, role: str) -> None:
    roles = (VIEWER, OPERATOR, ADMIN)
    if roles.index(role) >= roles.index(COMMANDS[name].role):
        assert allowed_command(session(role), name, {"x": 1}) == {"x": 1}
    else:
        with pytest.raises(ProblemError) as caught:
            allowed_command(session(role), name, {})
        assert caught.value.problem.status == 403
        assert f"{name} takes" in caught.value.problem.detail


@pytest.mark.parametrize("name", COMMANDS)
def test_a_token_for_some_hosts_orders_what_is_about_them(name: str) -> None:
    some, kind = session(OPERATOR, ["a", "b"]), COMMANDS[name]
    if kind.role == ADMIN or not kind.limits:
        with pytest.raises(ProblemError):
            allowed_command(some, name, {})
        return
    if kind.limits == "own":
        assert allowed_command(some, name, {"command": "x"}) == {"command": "x"}
        return
    argument = kind.limits
    assert allowed_command(some, name, {}) == {argument: ["a", "b"]}
    assert allowed_command(some, name, {argument: []}) == {argument: ["a", "b"]}
    assert allowed_command(some, name, {argument: ["b"]}) == {argument: ["b"]}
    for foreign in (["c"], ["a", "c"], "c", {"a": 1}, 5, [["a"]]):
        with pytest.raises(ProblemError) as caught:
            allowed_command(some, name, {argument: foreign})
        assert "limited to a, b" in caught.value.problem.detail


def test_a_name_that_is_no_commands_is_for_the_aggregator_to_refuse() -> None:
    assert allowed_command(session(VIEWER), "make-coffee", {"sugar": 2}) == {"sugar": 2}


def test_what_nobody_is_shown() -> None:
    assert shown({"token": "a", "hash": "h"}, "create-token") == {"token": "a"}
    assert shown({"hash": "h"}, "export") == {"hash": "h"}
