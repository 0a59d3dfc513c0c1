"""What may be ordered: every refusal names the field that is wrong."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.contracts.commands import COMMANDS, LANES, Aggregate, Command, RefusedError, check


def command(name: str, arguments: dict[str, Any] | None = None, **changes: Any) -> Command:
    return Command(**{"id": uuid.uuid4().hex, "name": name, "arguments": arguments or {}, **changes})


def test_every_command_has_a_lane_and_bounds() -> None:
    assert {kind.lane for kind in COMMANDS.values()} == set(LANES)
    for name, kind in COMMANDS.items():
        assert kind.name == name
        assert msgspec.json.schema(kind.arguments)


def test_good_arguments_are_typed() -> None:
    found = check(command("aggregate", {"tier": "hourly", "from": 1_795_305_600_000}))
    assert found == Aggregate(tier="hourly", from_=1_795_305_600_000)


@pytest.mark.parametrize(
    ("name", "arguments", "changes", "field"),
    [
        ("nothing", {}, {}, "name"),
        ("aggregate", {}, {"id": "short"}, "id"),
        ("aggregate", {}, {"idempotency_key": ""}, "idempotency_key"),
        ("aggregate", {}, {"idempotency_key": "k" * 201}, "idempotency_key"),
        ("aggregate", {}, {"deadline": -1}, "deadline"),
        ("aggregate", {}, {"issued_at": 2**60}, "issued_at"),
        ("aggregate", {}, {"dry_run": True}, "dry_run"),
        ("aggregate", {"tier": 5}, {}, "tier"),
        ("aggregate", {"to": 1_795_305_600_000}, {}, "from"),
        ("aggregate", {"from": 5}, {}, "from"),
        ("export", {"from": 1_795_305_600_000}, {}, "to"),
        ("export", {"from": 1_795_305_600_000, "to": 1_795_305_600_000}, {}, "from"),
        ("export", {"from": 1_795_305_600_000, "to": 1_795_305_600_001, "format": "xml"}, {}, "format"),
        ("refresh-cache", {"caches": ["kitchen"]}, {}, "caches"),
        ("refresh-cache", {"hosts": []}, {}, "hosts"),
        ("pause", {"until": 5}, {}, "until"),
        ("set-log-level", {"target": "web", "level": "info"}, {}, "target"),
        ("set-log-level", {"target": "api", "level": "info", "hosts": ["a"]}, {}, "hosts"),
        ("set-naming-rules", {"rules": "colour=red -> x"}, {}, "rules"),
        ("set-naming-rules", {"rules": "x" * 8_001}, {}, "rules"),
        ("set-retention", {}, {}, "raw"),
        ("set-retention", {"raw": 9, "budget_gb": 1}, {}, "budget_gb"),
        ("set-config", {}, {}, "arguments"),
        ("set-config", {"retention": {"hours": "many"}}, {}, "retention.hours"),
        ("purge", {"app": "a", "domain": "b"}, {}, "domain"),
        ("save-view", {"name": " ", "address": "/explore"}, {}, "name"),
        ("save-view", {"name": "a", "address": "explore"}, {}, "address"),
        ("save-view", {"name": "a", "address": "//other.example/"}, {}, "address"),
        ("save-view", {"name": "a", "address": "/\\other.example/"}, {}, "address"),
        ("save-view", {"name": "a", "address": "/explore?a\nb"}, {}, "address"),
        ("delete-view", {"view": "the first"}, {}, "view"),
    ],
)
def test_a_refusal_names_the_field(name: str, arguments: dict[str, Any], changes: dict[str, Any], field: str) -> None:
    with pytest.raises(RefusedError) as refused:
        check(command(name, arguments, **changes))
    assert refused.value.field == field
    assert str(refused.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(list(COMMANDS)), arguments=st.dictionaries(st.text(max_size=12), values, max_size=4))
def test_whatever_comes_is_typed_or_refused(name: str, arguments: dict[str, Any]) -> None:
    fields = []
    try:
        assert isinstance(check(command(name, arguments)), COMMANDS[name].arguments)
    except RefusedError as refused:
        fields.append(refused.field)
    assert all(fields)
