from __future__ import annotations

import json
import time
from typing import Any

import click
import pytest
from click.testing import CliRunner

from netally.cli import tokens
from netally.cli.main import cli
from netally.cli.tokens import Expiry

ROW = {
    "id": "a" * 16, "name": "ci", "role": "viewer", "hosts": ["web-1", "web-2"], "state": "active", "created_at": 1,
    "created_by": "admin", "expires_at": 1_795_305_600_000, "revoked_at": None, "last_used": None,
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    """What would be asked of the API."""
    requests: list[tuple[str, str, Any]] = []

    def ask(method: str, path: str, body: Any = None) -> dict[str, Any]:
        requests.append((method, path, body))
        if method == "POST":
            return {"secret": "netally_the_secret", "token": ROW, "command": "1" * 32}
        return {"tokens": [ROW, {**ROW, "id": "b" * 16, "state": "revoked"}]} if method == "GET" else ROW

    monkeypatch.setattr(tokens, "ask", ask)
    return requests


def test_the_secret_alone_goes_to_stdout(asked: list[Any]) -> None:
    arguments = [
        "token",
        "create",
        "--role",
        "viewer",
        "--hosts",
        "web-1, web-2",
        "--expires",
        "2026-11-22T01:00+01:00",
    ]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert done.stdout == "netally_the_secret\n"
    assert "shown once" in done.stderr
    order = {"name": "viewer", "role": "viewer", "hosts": ["web-1", "web-2"], "expires_at": 1_795_305_600_000}
    assert asked == [("POST", "/api/tokens", order)]


def test_tokens_that_are_of_no_use_are_listed_when_asked_for(asked: list[Any]) -> None:
    short, long = (CliRunner().invoke(cli, ["token", "list", *more]).stdout for more in ([], ["--all"]))
    assert (short.count("\n"), long.count("\n")) == (1, 2)
    assert "web-1, web-2" in short
    assert "until 2026-11-22 00:00Z" in short
    assert "never used" in short
    found = json.loads(CliRunner().invoke(cli, ["token", "list", "--json"]).stdout)
    assert [one["id"] for one in found] == ["a" * 16]


def test_a_token_is_revoked_by_its_id(asked: list[Any]) -> None:
    assert CliRunner().invoke(cli, ["token", "revoke", "a" * 16]).exit_code == 0
    assert asked == [("DELETE", f"/api/tokens/{'a' * 16}", None)]


@pytest.mark.parametrize(("text", "seconds"), [("90d", 90 * 86_400), ("12h", 43_200), ("30m", 1800), ("2w", 1_209_600)])
def test_an_expiry_from_now(text: str, seconds: int) -> None:
    assert Expiry().convert(text, None, None) / 1000 == pytest.approx(time.time() + seconds, abs=5)


@pytest.mark.parametrize("text", ["soon", "d", "-3d", "3y"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Expiry().convert(text, None, None)
