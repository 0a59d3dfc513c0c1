"""Settings of the aggregator on a real bus: changed by one, followed by another."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import msgspec
import pytest
from nats.aio.client import Client

from netally.aggregator.live_settings import LiveConfig, ages_of, retention_of
from netally.bus import streams
from netally.contracts.live_settings import Retention
from netally.store.retention import Ages


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


async def test_what_one_changes_the_other_follows(nats_client: Client) -> None:
    js = nats_client.jetstream()
    await streams.provision(js, streams.LEAST_FLOWS_BYTES)
    told: list[int] = []
    one, other = LiveConfig(7), LiveConfig(7, told.append)
    assert other.ages().raw == 7
    before, after = await one.change(
        js, lambda now: msgspec.structs.replace(now, version=now.version + 1, retention=Retention(9, 30, 365))
    )
    assert (before.version, after.version, one.ages().raw) == (0, 1, 9)
    await other.load(js)
    assert (other.ages().raw, told) == (9, [9])
    await other.load(js)
    assert told == [9]


async def test_defaults_are_told_and_change_nothing(nats_client: Client) -> None:
    js = nats_client.jetstream()
    await streams.provision(js, streams.LEAST_FLOWS_BYTES)
    one, later = LiveConfig(7), LiveConfig(10)
    await one.tell_defaults(js)
    await one.change(js, lambda now: msgspec.structs.replace(now, version=1, retention=Retention(9, 30, 365)))
    await later.tell_defaults(js)
    _, told = await one.load(js)
    assert told.default_retention == retention_of(later.default_ages)
    assert (told.version, told.retention_in_force(), one.ages().raw) == (1, Retention(9, 30, 365), 9)


def test_ages_and_back() -> None:
    ages = Ages(9, 30, 400, None)
    assert ages_of(retention_of(ages)) == ages
    assert ages_of(None) is None
