"""What a role may do. Each handler is declared, in `netally.api.app`, to need one of these; nothing else decides.

A token for some hosts sees those in every answer, so that a handler needs nothing more for it. Where an answer or an
order is about the whole fleet, it is refused to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, Final

from litestar.handlers import HTTPRouteHandler

from netally.api.problems import forbidden
from netally.contracts.access import RankedRoles
from netally.contracts.commands import COMMANDS, Command, CommandKind, RefusedError, kind_of
from netally.contracts.queries import Session

NEEDS: Final = "needs"
"""Handler option: one of the following."""
ANONYMOUS: Final = "anonymous"
"""No credentials are asked for."""
THIS_MACHINE: Final = "this machine"
"""None are asked for when the request comes from this machine, and from no proxy; else those of an operator."""
BROWSER, VIEWER, OPERATOR, ADMIN = RankedRoles
ALL_HOSTS: Final = "all_hosts"
"""Handler option: not for a token that is limited to hosts."""

_AN: Final = {BROWSER: "a browser", VIEWER: "a viewer", OPERATOR: "an operator", ADMIN: "an admin"}


def routes(needs: str, *handlers: HTTPRouteHandler, all_hosts: bool = False) -> list[HTTPRouteHandler]:
    """The handlers, declared to need this."""
    schemes: list[dict[str, list[str]]] = [{}] if needs in (ANONYMOUS, THIS_MACHINE) else []
    role = OPERATOR if needs == THIS_MACHINE else needs
    if needs != ANONYMOUS:
        schemes += [{"token": [role]}, {"session": [role]}]
    declared = []
    for handler in handlers:
        # A copy: the handlers are this module's callers', and there may be several applications.
        one = copy(handler)
        one.opt = {**handler.opt, NEEDS: needs, ALL_HOSTS: all_hosts}
        one.security = schemes
        declared.append(one)
    return declared


def has_role(session: Session, role: str) -> bool:
    return RankedRoles.index(session.role) >= RankedRoles.index(role)


def check_role(session: Session, options: Mapping[str, Any]) -> None:
    """Raises the 403 of a session that a handler is not for. A handler that declares nothing is for admins."""
    needs = options.get(NEEDS, ADMIN)
    role = OPERATOR if needs == THIS_MACHINE else needs
    if not has_role(session, role):
        raise forbidden(f"This takes {_AN[role]}: {session.actor} is {_AN[session.role]}.")
    if session.hosts is not None and (options.get(ALL_HOSTS) or role == ADMIN):
        raise forbidden("This concerns all hosts, and the token is limited to some.")


def allowed_command(session: Session, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a command within what the session may; those of a limited token name its hosts. Raises the 403.

    A name that is no command's passes: the aggregator refuses it, for all to see.
    """
    try:
        kind = kind_of(Command(id="", name=name))
    except RefusedError:
        return arguments
    if not has_role(session, kind.role):
        raise forbidden(f"{name} takes {_AN[kind.role]}: {session.actor} is {_AN[session.role]}.")
    if session.hosts is None or kind.limits == "own":
        return arguments
    return {**arguments, kind.limits: _within(session.hosts, kind, arguments)}


def _within(hosts: Sequence[str], kind: CommandKind, arguments: Mapping[str, Any]) -> Sequence[str]:
    if not kind.limits:
        raise forbidden(f"{kind.name} concerns all hosts, and the token is limited to some.")
    named = arguments.get(kind.limits)
    if named is None or named == []:
        return hosts
    # What is no list of names is refused by the aggregator, with the field.
    foreign = [name for name in named if name not in hosts] if isinstance(named, list) else []
    if foreign or not isinstance(named, list):
        raise forbidden(f"The token is limited to {_words(hosts)}.")
    return named


def _words(hosts: Sequence[str]) -> str:
    return ", ".join(hosts[:5]) + (f" and {len(hosts) - 5} more hosts" if len(hosts) > 5 else "")


def shown(arguments: dict[str, Any], name: str) -> dict[str, Any]:
    """Arguments of a command without what nobody is shown."""
    kind = COMMANDS.get(name)
    if kind is None or not kind.withheld:
        return arguments
    return {key: value for key, value in arguments.items() if key != kind.withheld}


def actor_limit(session: Session) -> str | None:
    """Whose commands and views alone a session sees; None for everybody's."""
    return session.actor if session.hosts is not None else None


Limit = Callable[[Session], str | None]
