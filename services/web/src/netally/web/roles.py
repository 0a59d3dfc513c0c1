"""What who is signed in may not order, and why: pages switch that off, the API refuses it whatever a page shows."""

from __future__ import annotations

from contextvars import ContextVar

import msgspec

from netally.contracts.access import RankedRoles
from netally.contracts.commands import COMMANDS
from netally.contracts.queries import Session

_AN = {"viewer": "a viewer", "operator": "an operator", "admin": "an admin"}


class Denied(msgspec.Struct, frozen=True):
    """Commands that may not be ordered, each with the reason."""

    reasons: dict[str, str] = {}
    who: str = ""
    """In words, where something is denied."""


DENIED: ContextVar[Denied] = ContextVar("denied", default=Denied())  # noqa: B039  (never changed)
"""Of the page that is being made."""


def denied(session: Session) -> Denied:
    reasons = {}
    for name, kind in COMMANDS.items():
        if RankedRoles.index(session.role) < RankedRoles.index(kind.role):
            reasons[name] = f"This takes {_AN[kind.role]}, and you are {_AN[session.role]}."
        elif session.hosts is not None and not kind.limits:
            reasons[name] = "This concerns all hosts, and your token is limited to some."
    if not reasons:
        return Denied()
    who = f"You are signed in as {session.actor}, {_AN[session.role]}"
    if session.hosts is not None:
        who += f" of {len(session.hosts)} host{'' if len(session.hosts) == 1 else 's'}"
    return Denied(reasons, f"{who}.")


def reason(name: str) -> str:
    """Why a command may not be ordered; empty when it may. For templates."""
    return DENIED.get().reasons.get(name, "")


def who() -> str:
    return DENIED.get().who
