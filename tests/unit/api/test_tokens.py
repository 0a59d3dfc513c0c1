"""With an aggregator it is in tests/integration/test_access.py."""

from __future__ import annotations

from typing import Any

import pytest

from netally.api.problems import ProblemError
from netally.api.tokens import _check, _row
from netally.contracts.command_answers import CommandRow
from tests.api_in_process import running_api
from tests.builders import START


def command(**changes: Any) -> CommandRow:
    values: dict[str, Any] = {
        "id": "1" * 32, "name": "create-token", "target": "aggregator", "arguments": {}, "actor": "admin",
        "actor_verified": True, "dry_run": False, "idempotency_key": None, "state": "succeeded", "message": "done",
        "result": {}, "field": None, "issued_at": START, "started_at": START, "ended_at": START, "deadline": None,
    }  # fmt: skip
    return CommandRow(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"state": "failed", "field": "hosts", "message": "no"}, 400, "No."),
        ({"state": "waiting", "ended_at": None}, 503, "No aggregator"),
        ({"state": "expired", "message": "its deadline passed"}, 503, "expired: its deadline passed"),
        ({"state": "progress", "ended_at": None, "message": "running"}, 503, "not ended yet"),
    ],
)
def test_a_command_that_did_not_succeed_is_a_problem(changes: dict[str, Any], status: int, words: str) -> None:
    _check(command())
    with pytest.raises(ProblemError) as caught:
        _check(command(**changes))
    assert caught.value.problem.status == status
    assert words in caught.value.problem.detail


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "state"),
    [(None, None, "active"), (START, None, "expired"), (START + 1, None, "active"), (None, START - 9, "revoked")],
)
def test_how_a_token_stands(expires_at: int | None, revoked_at: int | None, state: str) -> None:
    row = {
        "id": "a" * 16, "name": "ci", "role": "viewer", "hosts": None, "hash": "$argon2id$secret", "created_at": START,
        "created_by": "admin", "expires_at": expires_at, "revoked_at": revoked_at, "last_used": None,
    }  # fmt: skip
    assert _row(row, START).state == state
    assert "argon2" not in str(_row(row, START))


@pytest.mark.parametrize(
    "body",
    [{}, {"name": ""}, {"name": " "}, {"name": "a\nb"}, {"name": "x", "role": "king"}, {"name": "x", "hosts": []}],
)
async def test_what_makes_no_token_is_400(body: dict[str, Any]) -> None:
    async with running_api() as api:
        answer = await api.client.post("/api/tokens", json=body)
    assert answer.status_code == 400, answer.text
