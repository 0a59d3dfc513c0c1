from __future__ import annotations

from typing import Any

from netally.api.command_bus import _token, row_of, waiting_row
from tests.ordering import make_command


def test_a_name_becomes_one_token() -> None:
    assert _token("refresh-cache") == "refresh-cache"
    assert _token("a.b >") == _token("") == _token("kaffee-ü") == "unknown"


def test_a_command_on_its_way_is_shown_as_waiting() -> None:
    row = waiting_row(make_command("aggregate", {"tier": "1h"}))
    assert (row.state, row.arguments, row.started_at) == ("waiting", {"tier": "1h"}, None)


def test_a_row_of_the_ledger() -> None:
    names = (
        *("id", "name", "target", "actor", "actor_verified", "dry_run", "idempotency_key", "state", "issued_at"),
        *("started_at", "ended_at", "deadline", "message"),
    )
    stored: dict[str, Any] = dict.fromkeys(names) | {"arguments": "{}", "result": '{"field": "tier"}'}
    assert row_of(stored).field == "tier"
