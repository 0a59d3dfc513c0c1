"""Which namespaces hang on this one, and where their packets leave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netally.capture.ebpf.namespace_links import NamespaceLinks
from netally.capture.interfaces import read_interfaces
from netally.capture.netlink import ROUTE, NetlinkSocket
from netally.capture.network_namespace import inside
from tests.builders import packed
from tests.namespaces import linked_namespaces
from tests.services import wait_until

pytestmark = pytest.mark.root


def test_the_other_end_of_a_wire_is_linked_and_nobody_else() -> None:
    with linked_namespaces() as (client, server):
        there = client.start("sleep", "60")
        elsewhere = os.getpid()

        def look() -> tuple[bool, bool, bool, int, int]:
            links, netlink = NamespaceLinks(), NetlinkSocket(ROUTE)
            try:
                peers = {each.peer_namespace for each in read_interfaces(netlink) if each.peer_namespace >= 0}
                (index,) = [each.ifindex for each in read_interfaces(netlink) if not each.loopback and each.up]
                return (
                    links.linked(1, there.pid, peers),
                    links.linked(2, elsewhere, peers),
                    links.linked(3, 1 << 22, peers),
                    links.leaves_by(packed(client.ipv4)) - index,
                    links.leaves_by(packed(server.ipv4)),
                )
            finally:
                links.close()
                netlink.close()

        wait_for_namespace(there.pid)
        # Seen from the server: the client's processes are behind its wire; this test's own are not.
        assert inside(f"/run/netns/{server.name}", look) == (True, False, False, 0, 0)


def wait_for_namespace(pid: int) -> None:
    here = Path("/proc/self/ns/net").stat().st_ino
    wait_until(lambda: Path(f"/proc/{pid}/ns/net").stat().st_ino != here)
