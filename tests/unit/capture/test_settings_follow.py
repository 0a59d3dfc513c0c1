"""The agent's side of live settings, on a real bus: read at the start, heard at once, also after a restart."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import nats
from nats.aio.client import Client

from netally.bus import settings_bucket, streams, subjects
from netally.bus.gather import ask_all
from netally.capture.settings_follow import SettingsFollower, remember, remembered
from netally.contracts.commands import CacheOrder, CacheReply
from netally.contracts.live_settings import HostSettings
from tests.services import NatsServer, eventually

HOST = "web-1.example.org"
KEY = subjects.host_settings_key(HOST)


def test_what_was_followed_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "followed.json"
    assert remembered(path) == HostSettings()
    remember(path, HostSettings(4, paused=True, interval=10))
    remember(path, HostSettings(5, paused=True))
    assert remembered(path) == HostSettings(5, paused=True)
    assert [each.name for each in tmp_path.iterdir()] == ["followed.json"]
    # A file that was cut short, and a disk that takes nothing, keep nobody from capturing.
    path.write_bytes(b"{")
    assert remembered(path) == HostSettings()
    remember(tmp_path / "nowhere" / "followed.json", HostSettings(6))


async def put(client: Client, settings: HostSettings) -> None:
    js = client.jetstream(timeout=1)

    async def written() -> bool:
        _, revision = await settings_bucket.read(js, KEY, HostSettings)
        await settings_bucket.write(js, KEY, settings, revision)
        return True

    await eventually(written)


async def test_settings_are_followed_within_two_seconds_also_after_a_restart(
    nats_server: NatsServer, nats_client: Client
) -> None:
    await streams.provision(nats_client.jetstream(), streams.LEAST_FLOWS_BYTES)
    await put(nats_client, HostSettings(1, interval=10))
    applied: list[HostSettings] = []
    follower = SettingsFollower(HOST, applied.append, lambda caches: {"names": 4})

    async def back() -> None:
        follower.connected.set()

    own = await nats.connect(nats_server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, reconnected_cb=back)
    follower.connected.set()
    task = asyncio.create_task(follower.run(lambda: own))

    async def version() -> int:
        return follower.current.version

    async def follows(number: int) -> float:
        began = time.monotonic()

        async def so() -> bool:
            return await version() == number

        await eventually(so)
        return time.monotonic() - began

    try:
        await follows(1)
        await put(nats_client, HostSettings(2, paused=True))
        assert await follows(2) < 2
        await asyncio.to_thread(nats_server.stop)
        await asyncio.to_thread(nats_server.start)
        await put(nats_client, HostSettings(3))
        assert await follows(3) < 2
        assert [settings.version for settings in applied] == [1, 2, 3]
        subject = subjects.command_to_hosts("refresh-cache")
        for hosts, answers in ((None, 1), ([HOST], 1), (["another"], 0)):
            replies = await ask_all(nats_client, [subject], CacheOrder("1" * 32, [], hosts), CacheReply, wait=1)
            assert [reply.dropped for reply in replies] == [{"names": 4}] * answers
        await nats_client.publish(subjects.host_settings(HOST), b"{")
        assert await version() == 3
        # A bus that knows nothing of the host is no reason to stay with what another one said.
        await (await nats_client.jetstream().key_value("settings")).purge(KEY)
        follower.connected.set()
        await follows(0)
        # A host without settings of its own follows those for new hosts.
        rules = HostSettings(naming_rules="name=* -> all")
        await settings_bucket.write(nats_client.jetstream(), subjects.new_hosts_settings_key(), rules, 0)
        follower.connected.set()

        async def named() -> bool:
            return follower.current == rules

        await eventually(named)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await own.close()
