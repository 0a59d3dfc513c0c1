"""Tokens and sessions: what the API takes and answers, and what its instances tell on the bus. Times are epoch
milliseconds.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from netally.contracts.commands import HostNames, Moment, RoleName, TokenName

RankedRoles = ("browser", "viewer", "operator", "admin")
"""Each may what those before it may, and more. A browser may report its tab, as the one host it is paired with."""


class TokenOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /api/tokens``."""

    name: TokenName
    """For people, to tell it from others."""
    role: RoleName = "viewer"
    hosts: HostNames | None = None
    """Names of the hosts that it may see; all when absent. An admin token is for all."""
    expires_at: Moment | None = None
    """It is of no use from then on; absent: until it is revoked."""


class TokenRow(msgspec.Struct, frozen=True):
    """A token, without its secret, which nobody keeps."""

    id: str
    name: str
    role: str
    hosts: list[str] | None
    """Null for all."""
    state: str
    """``active``, ``expired`` or ``revoked``."""
    created_at: int
    created_by: str
    expires_at: int | None
    revoked_at: int | None
    last_used: int | None
    """To about ten seconds; null when it never was."""


class NewToken(msgspec.Struct, frozen=True):
    """Answer of ``POST /api/tokens``: the only time that the secret is told."""

    secret: str
    """What goes into ``Authorization: Bearer``."""
    token: TokenRow
    command: str
    """Id of the command in the ledger."""

    def __repr__(self) -> str:
        return f"NewToken({self.token.id})"


class TokensAnswer(msgspec.Struct, frozen=True):
    """``GET /api/tokens``."""

    tokens: list[TokenRow]
    """Newest first, revoked ones too."""


class SessionUse(msgspec.Struct, frozen=True):
    """What an API instance knows of a session."""

    number: Annotated[str, Meta(max_length=64)]
    """32 hex digits; of no use without the signed cookie."""
    token: Annotated[str, Meta(max_length=64)]
    """Id of the token that opened it; empty for the admin token."""
    opened_at: int
    expires_at: int
    last_used: int
    ended: bool = False


class TokenUse(msgspec.Struct, frozen=True):
    token: Annotated[str, Meta(max_length=64)]
    last_used: int


class AccessUsed(msgspec.Struct, frozen=True):
    """What was used since the last report, on ``access.v1.used``: kept by the aggregator, heard by API instances."""

    instance: str
    sessions: list[SessionUse] = []
    tokens: list[TokenUse] = []
