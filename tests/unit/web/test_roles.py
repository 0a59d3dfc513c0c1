from __future__ import annotations

from netally.contracts.commands import COMMANDS
from netally.contracts.queries import Session
from netally.web.roles import denied


def session(role: str, hosts: list[str] | None = None) -> Session:
    return Session(actor="night watch (0123456789abcdef)", expires_at=None, role=role, hosts=hosts)


def test_what_a_role_may_not_order_is_denied_with_the_reason() -> None:
    assert denied(session("admin")).reasons == {}
    assert denied(session("admin")).who == ""
    operator = denied(session("operator"))
    assert set(operator.reasons) == {name for name, kind in COMMANDS.items() if kind.role == "admin"}
    assert operator.reasons["purge"] == "This takes an admin, and you are an operator."
    viewer = denied(session("viewer"))
    assert set(viewer.reasons) == set(COMMANDS)
    assert viewer.who == "You are signed in as night watch (0123456789abcdef), a viewer."


def test_a_token_for_some_hosts_orders_nothing_for_all() -> None:
    some = denied(session("operator", ["a"]))
    assert "pause" not in some.reasons
    assert some.reasons["aggregate"] == "This concerns all hosts, and your token is limited to some."
    assert some.who.endswith("an operator of 1 host.")
