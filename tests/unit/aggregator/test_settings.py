"""Settings come from the environment and wrong ones are named."""

from __future__ import annotations

import pytest

from netally.aggregator.settings import AggregatorSettings
from netally.telemetry.settings import SettingsError, load_settings


def test_everything_has_a_default() -> None:
    settings = load_settings(AggregatorSettings, {})
    assert (settings.aggregator_port, settings.raw_retention_days) == (7502, 7)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NETALLY_AGGREGATOR_PORT", "http"),
        ("NETALLY_AGGREGATOR_PORT", "70000"),
        ("NETALLY_RAW_RETENTION_DAYS", "1"),
        ("NETALLY_FLOWS_MAX_BYTES", "1000"),
    ],
    ids=["no number", "no port", "too short", "too small"],
)
def test_a_wrong_value_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        load_settings(AggregatorSettings, {variable: value})


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(AggregatorSettings(nats_url="nats://a:s3cret@h:1"))
