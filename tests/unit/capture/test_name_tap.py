"""The tap of an interface: names reach the flow table; openings only where they are asked for."""

from __future__ import annotations

import socket
import time

import pytest

from netally.capture.attribution import Attribution, first_ephemeral_port
from netally.capture.flow_names import FlowNames
from netally.capture.flow_table import FlowTable
from netally.capture.interfaces import read_interfaces
from netally.capture.name_tap import NameTap
from netally.capture.netlink import ROUTE, NetlinkSocket
from netally.capture.process_table import ProcessTable
from tests.services import eventually

pytestmark = pytest.mark.root
REQUEST = b"GET / HTTP/1.1\r\nHost: tap.netally.test\r\n\r\n"


def ask(server: socket.socket) -> int:
    """Port of a client that has sent a request and gone."""
    with socket.create_connection(server.getsockname()) as client:
        client.sendall(REQUEST)
        accepted, _ = server.accept()
        with accepted:
            assert accepted.recv(1000) == REQUEST
        port: int = client.getsockname()[1]
        return port


def named(table: FlowTable, port: int) -> str | None:
    for slot in table.slots.tolist():
        if port in (table.key(slot).a_port, table.key(slot).b_port):
            name: str | None = table.name[slot]
            return name
    return None


async def test_what_names_a_flow_is_read_and_nothing_while_paused() -> None:
    table = FlowTable()
    attribution = Attribution(table, FlowNames(), ProcessTable(), None, first_ephemeral_port())
    netlink = NetlinkSocket(ROUTE)
    loopback = next(each for each in read_interfaces(netlink) if each.loopback)
    netlink.close()
    tap = NameTap(loopback, attribution, time.time, openings=False)
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            # Loopback tells no directions, so the opening alone would make a flow.
            with socket.create_connection(server.getsockname()) as silent:
                silent_port = silent.getsockname()[1]
            server.accept()[0].close()
            tap.paused = True
            unread = ask(server)
            tap.paused = False
            first = ask(server)

            async def there() -> bool:
                return named(table, first) == "tap.netally.test"

            await eventually(there)
        ports = {port for slot in table.slots.tolist() for port in table.key(slot)[2::2]}
        assert silent_port not in ports
        # What came while it was paused was in the socket until now, and may have been read after; the first was.
        assert unread != first
    finally:
        tap.close()
