"""Interfaces of all kinds, that come, go, are renamed, go down and move: everything is counted once all the while."""

from __future__ import annotations

import sys
import time

import psutil
import pytest

from netally.contracts.codes import Cause, DomainSource
from tests.capture_box import SCRIPT, UDP_CLIENT, UDP_HEADERS, Box, box, metric, records, total
from tests.namespaces import ip
from tests.services import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

QUERY = """
import socket, sys
name = b"".join(bytes([len(part)]) + part.encode() for part in sys.argv[3].split(".")) + bytes(1)
query = bytes.fromhex("123401000001000000000000") + name + bytes.fromhex("00010001")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(5)
    client.connect((sys.argv[1], int(sys.argv[2])))
    for _ in range(20):
        client.send(query)
        assert client.recv(2048) == query
"""


def test_a_tunnel_is_counted_from_the_ip_header_on() -> None:
    with box() as machine:
        here = machine.here
        here.serve("tun_echo", "tun0", "10.66.0.1/24")
        machine.start_agent(NETALLY_INTERFACES="tun0")
        before = here.run("cat", "/sys/class/net/tun0/statistics/tx_bytes")
        here.run(*UDP_CLIENT, "10.66.0.2", "9000", "200", "1000", "1000")
        here.run(sys.executable, "-c", QUERY, "10.66.0.2", "53", "tunnel.netally.test")
        carried = int(here.run("cat", "/sys/class/net/tun0/statistics/tx_bytes")) - int(before)
        machine.stop_agent()
        batches = machine.batches()
    rows = records(batches, server_port=9000)
    assert {row["app"] for row in rows} == {SCRIPT}
    for way in ("in", "out"):
        assert (total(rows, f"packets_{way}"), total(rows, f"bytes_{way}")) == (200, 200 * (1000 + UDP_HEADERS))
    (name,) = {(row["domain"], row["domain_source"]) for row in records(batches, server_port=53)}
    assert name == ("tunnel.netally.test", DomainSource.DNS_QUERY)
    # No link header: the interface counts what is counted here.
    tally = [row for batch in batches for row in batch["tally"] if row["interface"] == "tun0"]
    assert total(tally, "bytes_out") == carried
    assert total([row for row in tally if row["cause"] == Cause.HEADER_DIFFERENCE], "bytes_out") == 0
    assert here.interface not in {row["interface"] for batch in batches for row in batch["tally"]}


def test_a_tunnel_beside_its_uplink_is_not_counted_again() -> None:
    with box() as machine:
        machine.here.serve("tun_echo", "tun0", "10.66.0.1/24")
        machine.start_agent(NETALLY_INTERFACES=f"{machine.here.interface},tun0")
        machine.here.run(*UDP_CLIENT, "10.66.0.2", "9000", "50", "1000", "1000")
        machine.datagrams(50, 1000, 400)
        state = machine.ask("agent")[0]
        machine.stop_agent()
        rows = records(machine.batches(), server_port=9000)
    assert (total(rows, "packets_out"), total(rows, "bytes_in")) == (50, 50 * (400 + UDP_HEADERS))
    assert "tun0" in state["mode_reason"]


def counted_after(machine: Box) -> None:
    """Fifty datagrams are counted from here on, to the packet."""
    start = time.time() // 1 * 1000 - 1000
    before = total([row for row in records(machine.batches()) if row["server_port"] == 9000], "packets_out")
    machine.datagrams(50, 1000, 400)
    wait_until(lambda: any(batch["start"] >= start + 3000 for batch in machine.batches()))
    rows = records(machine.batches(), server_port=9000)
    assert total(rows, "packets_out") - before == 50


def test_a_renamed_interface_goes_on_under_its_new_name() -> None:
    with box() as machine:
        here = machine.here
        machine.start_agent()
        machine.datagrams(50, 1000, 400)
        ip("-n", here.name, "link", "set", here.interface, "down")
        ip("-n", here.name, "link", "set", here.interface, "name", "renamed0")
        ip("-n", here.name, "link", "set", "renamed0", "up")
        ip("-n", here.name, "address", "replace", f"{here.ipv6}/64", "dev", "renamed0", "nodad")
        ip("-n", here.name, "route", "replace", "default", "via", machine.world.ipv4)
        here.interface = "renamed0"
        wait_until(lambda: "renamed0" in {each["name"] for each in machine.ask("agent")[0]["interfaces"]})
        counted_after(machine)
        machine.stop_agent()
        tally = {row["interface"] for batch in machine.batches() for row in batch["tally"]}
    assert "renamed0" in tally


def test_an_interface_that_went_to_another_namespace_and_came_back_is_counted_again() -> None:
    with box() as machine:
        here, world = machine.here, machine.world
        machine.start_agent(NETALLY_INTERVAL="2")
        # Within one interval, so that the agent finds the same index as before.
        ip("-n", here.name, "link", "set", here.interface, "netns", world.name)
        ip("-n", world.name, "link", "set", here.interface, "netns", here.name)
        ip("-n", here.name, "address", "add", f"{here.ipv4}/24", "dev", here.interface)
        ip("-n", here.name, "address", "add", f"{here.ipv6}/64", "dev", here.interface, "nodad")
        ip("-n", here.name, "link", "set", here.interface, "up")
        ip("-n", here.name, "route", "replace", "default", "via", world.ipv4)
        assert machine.read_until("interface left")["interface"] == here.interface
        assert machine.read_until("interface captured")["interface"] == here.interface
        counted_after(machine)
        machine.stop_agent()


@pytest.mark.alone
def test_an_interface_that_is_down_costs_nothing() -> None:
    with box() as machine:
        machine.start_agent(NETALLY_INTERVAL="10")
        assert machine.agent is not None
        process = psutil.Process(machine.agent.pid)
        started = metric(machine, "netally_capture_intervals_total")
        wait_until(lambda: metric(machine, "netally_capture_intervals_total") > started, within=15)
        ip("-n", machine.here.name, "link", "set", machine.here.interface, "down")
        before, began = sum(process.cpu_times()[:2]), time.monotonic()
        # Until the agent looks at its interfaces again, its sockets stand in error.
        wait_until(lambda: metric(machine, "netally_capture_intervals_total") > started + 1, within=15, every=1.0)
        share = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)
        machine.stop_agent()
    assert share < 0.1


STEPPED = """
import sys, time
from pathlib import Path
real = time.time
time.time = lambda: real() + float(Path(sys.argv[1]).read_text())
from netally.capture.app import main
sys.argv = sys.argv[:1]
sys.exit(main())
"""


def test_a_clock_that_is_set_loses_no_packet() -> None:
    with box() as machine:
        offset = machine.directory / "offset"
        offset.write_text("0")
        machine.start_agent(program=STEPPED.replace("sys.argv[1]", repr(str(offset))))
        began = time.time()
        steps = (3_600.4, -1_800.3)
        machine.datagrams(50, 1000, 400)
        for step in steps:
            offset.write_text(str(step))
            machine.datagrams(50, 1000, 400)
            cut = metric(machine, "netally_capture_intervals_total")
            wait_until(lambda cut=cut: metric(machine, "netally_capture_intervals_total") >= cut + 3)  # type: ignore[misc]
        machine.stop_agent()
        batches = machine.batches()
    rows = records(batches, server_port=9000)
    assert (total(rows, "packets_out"), total(rows, "packets_in")) == (150, 150)
    assert all(batch["start"] % 1000 == 0 for batch in batches)
    reached = {round((batch["start"] / 1000 - began) / 1_800) for batch in batches}
    assert reached == {0, 2, -1}
