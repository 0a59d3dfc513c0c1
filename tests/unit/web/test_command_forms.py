from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from netally.contracts import commands
from netally.web.command_forms import FORMS, FormError, field_of, order

BERLIN = ZoneInfo("Europe/Berlin")
NOON = 1_795_345_200_000
"""22 Nov 2026 12:00 in Berlin."""
DAY = {"from": "2026-11-22T12:00", "to": "2026-11-22T13:00"}
ALL_CACHES = {f"cache-{name}": "1" for name in ("processes", "names", "hosts", "apps", "domains")}


def arguments(name: str, **fields: str) -> dict[str, Any]:
    return FORMS[name]({key.replace("_from", "from"): value for key, value in fields.items()}, BERLIN)


def test_every_command_has_a_form_but_cancel() -> None:
    assert set(FORMS) == set(commands.COMMANDS) - {"cancel", "save-view", "delete-view", "create-token", "revoke-token"}


@pytest.mark.parametrize(
    ("name", "fields", "wanted"),
    [
        ("aggregate", {"tier": "all", "from": "", "to": ""}, {"tier": "all"}),
        ("aggregate", {"tier": "1h", **DAY}, {"tier": "1h", "from": NOON, "to": NOON + 3_600_000}),
        ("aggregate", {"from": "2026-11-22T12:00", "tz": "UTC"}, {"tier": "all", "from": NOON + 3_600_000}),
        ("cleanup", {}, {}),
        ("refresh-cache", ALL_CACHES, {}),
        ("refresh-cache", {"cache-names": "1", "hosts": "a, b ,"}, {"caches": ["names"], "hosts": ["a", "b"]}),
        (
            "export",
            {**DAY, "tier": "1m", "format": "json", "app": "git, curl", "filter": " port = 443 "},
            {
                "from": NOON, "to": NOON + 3_600_000, "tier": "1m", "format": "json", "app": ["git", "curl"],
                "filter": "port = 443",
            },
        ),
        ("pause", {"hosts": "nas-01"}, {"hosts": ["nas-01"]}),
        ("resume", {}, {}),
        ("set-interval", {"interval": "10"}, {"interval": 10}),
        ("set-retention", {"raw": "30", "minutes": "", "for-ever": "1"}, {"raw": 30, "days": None}),
        ("set-retention", {"by": "budget", "budget_gb": "12.5"}, {"budget_gb": 12.5}),
        ("set-config", {"ledger_days": "90", "answer_seconds": "2.5"}, {"ledger_days": 90, "answer_seconds": 2.5}),
        ("set-log-level", {"target": "hosts:nas-01", "level": "debug"},
         {"target": "hosts", "level": "debug", "hosts": ["nas-01"]}),
        ("set-naming-rules", {"rules": "name=a -> b"}, {"rules": "name=a -> b"}),
        ("set-naming-rules", {"rules": ""}, {"rules": ""}),
        ("purge", {"dimension": "app", "name": " git "}, {"app": "git"}),
    ],
)  # fmt: skip
def test_a_form_becomes_arguments_that_the_contracts_take(
    name: str, fields: dict[str, str], wanted: dict[str, Any]
) -> None:
    made = order(name, {"key": "k", **fields}, BERLIN)
    assert made.arguments == wanted
    commands.check(commands.Command("0" * 32, name, made.arguments, dry_run=made.dry_run))


@pytest.mark.parametrize(
    ("name", "fields", "field"),
    [
        ("aggregate", {"to": "2026-11-22T12:00"}, "from"),
        ("aggregate", {"from": "yesterday"}, "from"),
        ("export", {"from": "2026-11-22T12:00"}, "to"),
        ("export", {"from": "9999999-01-01T00:00", "to": "x"}, "from"),
        ("refresh-cache", {}, "caches"),
        ("set-interval", {"interval": "5.5"}, "interval"),
        ("set-interval", {"interval": "\u0665"}, "interval"),
        ("set-retention", {"raw": "0"}, "raw"),
        ("set-retention", {"days": "900", "for-ever": "1"}, "days"),
        ("set-retention", {"by": "budget", "budget_gb": ""}, "budget_gb"),
        ("set-retention", {"by": "budget", "budget_gb": "nan"}, "budget_gb"),
        ("set-config", {"answer_seconds": "-1"}, "answer_seconds"),
        ("purge", {"dimension": "app", "name": " "}, "name"),
        ("purge", {"dimension": "user", "name": "x"}, "dimension"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(name: str, fields: dict[str, str], field: str) -> None:
    with pytest.raises(FormError) as raised:
        order(name, fields, BERLIN)
    assert raised.value.field == field
    assert str(raised.value).endswith(".")


def test_what_deletes_or_sets_is_previewed_first() -> None:
    previewed = {
        name for name in FORMS if order(name, {**DAY, **ALL_CACHES, "name": "x", "dimension": "app"}, BERLIN).dry_run
    }
    assert previewed == {"cleanup", "purge", "set-retention", "set-config"}


def test_a_form_sent_twice_is_one_command_and_a_changed_one_another() -> None:
    first = order("aggregate", {"key": "a", "tier": "all"}, BERLIN).idempotency_key
    assert first == order("aggregate", {"key": "a", "tier": "all"}, BERLIN).idempotency_key
    assert first != order("aggregate", {"key": "a", "tier": "1m"}, BERLIN).idempotency_key
    assert first != order("aggregate", {"key": "b", "tier": "all"}, BERLIN).idempotency_key
    assert order("aggregate", {}, BERLIN).idempotency_key is None


def test_an_argument_at_fault_leads_to_its_field() -> None:
    assert field_of("purge", "host") == "name"
    assert field_of("set-config", "retention.raw") == "raw"
    assert field_of("export", "filter") == "filter"
