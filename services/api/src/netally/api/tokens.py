"""``/api/tokens``: make, list and revoke tokens. The secret is made here and told once; the bus carries its hash."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from netally.api.access import Access
from netally.api.access_state import AccessState
from netally.api.command_bus import ADVICE, CommandBus
from netally.api.database import Database
from netally.api.problems import (
    BAD_PARAMETER,
    NOT_FOUND,
    TOO_LARGE,
    UNAUTHORIZED,
    UNAVAILABLE,
    ProblemError,
    bad_parameter,
    not_found,
    problem,
    unavailable,
)
from netally.api.reading import Clock
from netally.api.token_secrets import new_secret
from netally.contracts.access import NewToken, TokenOrder, TokenRow, TokensAnswer
from netally.contracts.command_answers import CommandRow
from netally.contracts.queries import Session

START_WITHIN = 5.0
"""Seconds an aggregator has to begin; after that nothing is done, as nobody would have the secret."""


@post(
    "/api/tokens",
    status_code=201,
    summary="Make a token",
    responses={**BAD_PARAMETER, **UNAUTHORIZED, **TOO_LARGE, **UNAVAILABLE},
)
async def create(
    request: Request[Any, Session, Any],
    access: NamedDependency[Access],
    command_bus: NamedDependency[CommandBus],
    database: NamedDependency[Database],
    clock: NamedDependency[Clock],
    data: JSONBody[TokenOrder],
) -> NewToken:
    """The answer has the secret, which nobody keeps: it cannot be told again. The command is `create-token`."""
    if not data.name.strip():
        raise bad_parameter("name", "A token needs a name.")
    made = new_secret()
    arguments = {**msgspec.to_builtins(data), "token": made.token, "hash": await access.hashing.hash(made.text)}
    row = await command_bus.order(
        "create-token",
        {name: value for name, value in arguments.items() if value is not None},
        by=request.auth,
        deadline=clock() + int(START_WITHIN * 1000),
        wait=START_WITHIN + 3,
    )
    _check(row)
    async with database.read(ADVICE) as (rows, _):
        found = [one for one in await rows("tokens") if one["id"] == made.token]
    return NewToken(made.text, _row(found[0], clock()), row.id)


@get("/api/tokens", summary="Tokens", responses={**UNAUTHORIZED, **UNAVAILABLE})
async def tokens(database: NamedDependency[Database], clock: NamedDependency[Clock]) -> TokensAnswer:
    """Newest first, those that are of no use any more too. The admin token is none of them."""
    now = clock()
    async with database.read(ADVICE) as (rows, _):
        return TokensAnswer([_row(row, now) for row in await rows("tokens")])


@delete(
    "/api/tokens/{token_id:str}",
    status_code=200,
    summary="Revoke a token",
    responses={**BAD_PARAMETER, **UNAUTHORIZED, **NOT_FOUND, **UNAVAILABLE},
)
async def revoke(
    request: Request[Any, Session, Any],
    command_bus: NamedDependency[CommandBus],
    database: NamedDependency[Database],
    clock: NamedDependency[Clock],
    access_state: NamedDependency[AccessState],
    token_id: FromPath[str],
) -> TokenRow:
    """It and its sessions are of no use from then on: here at once, on other instances within two seconds. The command
    is `revoke-token`.
    """
    async with database.read(ADVICE) as (rows, _):
        if not any(row["id"] == token_id for row in await rows("tokens")):
            raise not_found("There is no token with this id.")
    row = await command_bus.order("revoke-token", {"token": token_id}, by=request.auth, wait=START_WITHIN)
    _check(row)
    access_state.changed()
    async with database.read(ADVICE) as (rows, _):
        found = [one for one in await rows("tokens") if one["id"] == token_id]
    return _row(found[0], clock())


def _check(row: CommandRow) -> None:
    """Raises the problem of a command that did not succeed."""
    if row.state == "succeeded":
        return
    if row.field:
        raise ProblemError(
            msgspec.structs.replace(
                problem(400, f"{row.message[:1].upper()}{row.message[1:]}.", parameter=row.field), command=row.id
            )
        )
    if row.state == "waiting":
        raise unavailable("No aggregator has taken the command yet.")
    raise unavailable(f"The command has {'' if row.ended_at else 'not ended yet, it has '}{row.state}: {row.message}.")


def _row(row: Any, now: int) -> TokenRow:
    expired = row["expires_at"] is not None and row["expires_at"] <= now
    return TokenRow(
        id=row["id"],
        name=row["name"],
        role=row["role"],
        hosts=row["hosts"],
        state="revoked" if row["revoked_at"] is not None else "expired" if expired else "active",
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used=row["last_used"],
    )
