from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from netally.contracts.command_answers import CommandRow
from netally.contracts.commands import COMMANDS
from netally.web.figures import THIN
from netally.web.ledger_words import TITLES, argument_words, ledger_row, sentence, spaced, state_of, took_words

BERLIN = ZoneInfo("Europe/Berlin")
NOON = 1_795_345_200_000
"""22 Nov 2026 12:00 in Berlin."""
HOUR = 3_600_000


def row(name: str = "aggregate", **changes: Any) -> CommandRow:
    made = CommandRow(
        "0" * 32, name, "aggregator", {}, "admin", True, False, None, "succeeded", "done", {}, None, NOON, NOON,
        NOON + 2500, None,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def test_every_command_has_a_title() -> None:
    assert set(TITLES) == set(COMMANDS)


@pytest.mark.parametrize(
    ("changes", "mark", "word"),
    [
        ({}, "", "done"),
        ({"dry_run": True}, "silent", "preview"),
        ({"result": {"silent": ["lap-03"]}}, "late", "partly"),
        ({"state": "failed"}, "failed", "failed"),
        ({"state": "failed", "started_at": None}, "failed", "refused"),
        ({"state": "waiting", "started_at": None}, "silent", "waiting"),
        ({"state": "progress"}, "late", "running"),
        ({"state": "cancelled"}, "silent", "cancelled"),
        ({"state": "expired"}, "failed", "expired"),
    ],
)
def test_each_state_has_a_shape_and_a_word(changes: dict[str, Any], mark: str, word: str) -> None:
    state = state_of(row(**changes))
    assert (state.mark, state.word) == (mark, word)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("aggregate", {}, "all tiers, all outstanding"),
        ("aggregate", {"tier": "hourly", "from": NOON - HOUR, "to": NOON}, "up to 1 hour, 11:00–12:00"),
        ("cleanup", {}, "by the retention in force"),
        ("refresh-cache", {"caches": ["names", "apps"]}, "DNS names, application ids"),
        ("export", {"from": NOON - HOUR, "to": NOON, "app": ["git"]}, "11:00–12:00, 1 hour, CSV, git"),
        ("pause", {"hosts": ["a", "b"]}, "a, b"),
        ("resume", {}, "all hosts"),
        ("set-interval", {"interval": 5}, "every 5\u00a0s"),
        ("set-log-level", {"target": "api", "level": "debug"}, "api: debug"),
        ("set-naming-rules", {"rules": "name=a -> b"}, "all hosts: name=a -> b"),
        ("save-view", {"name": "Nightly", "address": "/explore"}, "Nightly"),
        ("delete-view", {"view": "0123456789abcdef0123456789abcdef"}, "01234567"),
        ("set-retention", {"raw": 30, "days": None}, "flows 30\u00a0d, days for ever"),
        ("set-retention", {"budget_gb": 12.5}, "what fits into 12.5\u00a0GB"),
        ("set-config", {"ledger_days": 90}, "ledger 90\u00a0d"),
        ("purge", {"app": "git"}, "application git"),
        ("cancel", {"command": "0123456789abcdef" * 2}, "01234567"),
    ],
)
def test_arguments_are_words(name: str, arguments: dict[str, Any], words: str) -> None:
    assert argument_words(row(name, arguments=arguments), BERLIN, NOON) == words


@pytest.mark.parametrize("name", [*COMMANDS, "no-such-command"])
def test_arguments_of_any_shape_are_shown_and_never_fail(name: str) -> None:
    odd = {"from": "soon", "hosts": {"a": [None]}, "x" * 300: 1}
    words = argument_words(row(name, arguments=odd), BERLIN, NOON)
    assert '"soon"' in words
    assert len(words) <= 160
    assert argument_words(row("export", arguments={"from": 2**53, "to": 2**53}), BERLIN, NOON)


def test_how_long_it_took() -> None:
    assert took_words(row(), NOON) == "2\u00a0s"
    assert took_words(row(ended_at=NOON + 20), NOON) == "<1\u00a0s"
    assert took_words(row(ended_at=None), NOON + 128_000) == "2\u00a0min\u00a008\u00a0s"
    assert took_words(row(started_at=None), NOON) == "–"


def test_large_numbers_in_messages_are_grouped_and_names_are_not() -> None:
    assert spaced("1234567 rows") == f"1{THIN}234{THIN}567 rows"
    assert spaced("in netally-1h-20261121T000000Z-123456.csv") == "in netally-1h-20261121T000000Z-123456.csv"
    assert sentence("nothing was outstanding") == "Nothing was outstanding."
    assert sentence("") == ""


def test_a_row_names_its_actor_and_whether_that_was_proven() -> None:
    shown = ledger_row(row(actor="", actor_verified=False, state="progress", ended_at=None), BERLIN, NOON)
    assert (shown.actor, shown.verified, shown.active, shown.issued) == ("nobody", False, True, "12:00:00")


def test_an_exports_outcome_has_a_size_people_read() -> None:
    done = row(
        "export", result={"rows": 29_100_000, "bytes": 630_000_000}, message="29100000 rows, 630000000 bytes in x"
    )
    assert ledger_row(done, BERLIN, NOON).outcome == f"29{THIN}100{THIN}000 rows, 630.0\u00a0MB"
