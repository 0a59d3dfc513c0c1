from __future__ import annotations

import nats.errors
import pytest
from nats.js.errors import NotFoundError, ServiceUnavailableError

from netally.api.wanted_settings import wanted
from netally.contracts.live_settings import HostSettings
from netally.contracts.wire import encode_json
from tests.settings_bus import SettingsBus


async def test_settings_are_read_by_their_key() -> None:
    bus = SettingsBus(encode_json(HostSettings(version=3, interval=10)))
    found = await wanted(bus.as_bus(), "hosts.web-1", HostSettings())
    assert found == HostSettings(version=3, interval=10)
    assert bus.asked == ["$KV.settings.hosts.web-1"]


async def test_nothing_set_is_the_default() -> None:
    assert await wanted(SettingsBus(NotFoundError()).as_bus(), "hosts.x", HostSettings()) == HostSettings()


@pytest.mark.parametrize("trouble", [nats.errors.TimeoutError(), ServiceUnavailableError(), OSError(), b"not json"])
async def test_a_bus_that_cannot_tell_is_not_waited_for(trouble: bytes | Exception) -> None:
    assert await wanted(SettingsBus(trouble).as_bus(), "hosts.x", HostSettings()) is None


async def test_a_bus_that_is_away_is_not_asked() -> None:
    bus = SettingsBus(b"{}", connected=False)
    assert await wanted(bus.as_bus(), "hosts.x", HostSettings()) is None
    assert bus.asked == []
