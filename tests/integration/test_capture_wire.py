"""What the wire carried is counted, whatever becomes of it: segments sent again, packets that the machine refuses."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import pytest

from netally.contracts.codes import Cause
from tests.capture_box import UDP_HEADERS, Box, box, records, total
from tests.namespaces import Namespace, ip
from tests.services import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

TCP_HEADERS = 52
"""IPv4 and TCP with time stamps."""
SINK = """
import socket, sys
with socket.create_server(("0.0.0.0", 9600)) as listener:
    print("ready", flush=True)
    connection, _ = listener.accept()
    while connection.recv(65536):
        pass
"""
# struct tcp_info (linux/tcp.h): u32 segs_out at 136, u64 bytes_sent 200, bytes_retrans 208.
SENDER = """
import os, socket, struct, sys, time
with socket.create_connection((sys.argv[1], 9600)) as client:
    print("under way", flush=True)
    payload = 0
    while not os.path.exists(sys.argv[2]):
        client.sendall(bytes(10_000))
        payload += 10_000
        time.sleep(0.02)  # paces the traffic; nothing is waited for
    client.shutdown(socket.SHUT_WR)
    client.recv(1)
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    print(payload, *struct.unpack_from("=I", info, 136), *struct.unpack_from("=QQ", info, 200), flush=True)
"""
DATAGRAMS = """
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as client:
    for _ in range(100):
        client.sendto(bytes(500), (sys.argv[1], 9700))
"""


@contextlib.contextmanager
def refusing(namespace: Namespace, source: str) -> Iterator[None]:
    """The namespace drops what comes from ``source``, also to itself: the rule goes before that of the local table."""
    at = ("-n", namespace.name, "rule")
    ip(*at, "add", "pref", "20", "lookup", "local")
    ip(*at, "del", "pref", "0")
    ip(*at, "add", "pref", "10", "from", source, "blackhole")
    try:
        yield
    finally:
        ip(*at, "del", "pref", "10")


@pytest.fixture(scope="module")
def machine() -> Iterator[Box]:
    with box() as made:
        yield made


def test_segments_sent_again_count_again(machine: Box) -> None:
    here, world = machine.here, machine.world
    sink = world.start(sys.executable, "-c", SINK)
    assert sink.stdout is not None
    assert sink.stdout.readline() == "ready\n"
    machine.start_agent()
    # From here on the world hears nothing for a while: what is sent then is lost behind the agent, and sent again.
    world.run("sysctl", "-q", "-w", "net.ipv4.ip_early_demux=0")
    sender = here.start(sys.executable, "-c", SENDER, world.ipv4, machine.directory / "enough")
    assert sender.stdout is not None
    assert sender.stdout.readline() == "under way\n"
    with refusing(world, here.ipv4):
        wait_until(lambda: "retrans:" in here.run("ss", "-tino", "dst", world.ipv4))
    (machine.directory / "enough").touch()
    payload, segments, sent, again = (int(word) for word in sender.stdout.readline().split())
    machine.stop_agent()
    rows = records(machine.batches(), server_port=9600)
    assert again > 0
    assert sent == payload + again
    # The SYN has longer options; the last acknowledgement may be sent by no socket.
    assert total(rows, "bytes_out") == pytest.approx(sent + segments * TCP_HEADERS, abs=2 * TCP_HEADERS)
    # How many were sent again is not known from packets, and not claimed.
    assert {row["retrans"] for row in rows} == {None}


def test_packets_that_the_machine_refuses_are_counted_as_they_arrived(machine: Box) -> None:
    here, world = machine.here, machine.world
    machine.start_agent()
    # So that each knows the other's hardware address: who is refused is not told it either.
    world.run("curl", "--silent", "--max-time", "1", f"http://{here.ipv4}:9/", check=False)
    with refusing(here, world.ipv4):
        before = here.counters()
        world.run(sys.executable, "-c", DATAGRAMS, here.ipv4)
        carried = here.counters()["rx_bytes"] - before["rx_bytes"]
    machine.stop_agent()
    batches = [batch for batch in machine.batches() if records([batch], server_port=9700)]
    rows = records(batches, server_port=9700)
    assert (total(rows, "packets_in"), total(rows, "bytes_in")) == (100, 100 * (500 + UDP_HEADERS))
    assert {row["app"] for row in rows} == {""}
    assert carried >= 100 * (500 + UDP_HEADERS + 14)
    tally = [row for batch in batches for row in batch["tally"] if row["interface"] == here.interface]
    assert total([row for row in tally if row["cause"] == Cause.UNKNOWN], "bytes_in") >= 100 * (500 + UDP_HEADERS)
