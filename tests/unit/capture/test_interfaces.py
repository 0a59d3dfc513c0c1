"""Interfaces: which are captured, so that a packet that passes several is counted once."""

from __future__ import annotations

import socket
from typing import Any

import psutil

from netally.capture.interfaces import Interface, InterfaceCounters, address_text, choose, read_interfaces
from netally.capture.link_layer import ETHERNET, RAW
from netally.capture.netlink import ROUTE, NetlinkSocket
from tests.builders import packed


def make_interface(ifindex: int, name: str, **changes: Any) -> Interface:
    values: dict[str, Any] = {
        "kind": "",
        "up": True,
        "loopback": False,
        "ethernet": True,
        "link": 0,
        "master": 0,
        "addresses": (packed("192.0.2.5"),),
        "has_global": True,
        "counters": InterfaceCounters(0, 0, 0, 0),
    }
    return Interface(ifindex=ifindex, name=name, **{**values, **changes})


LO = make_interface(1, "lo", loopback=True, has_global=False)


def captured(*interfaces: Interface, wanted: tuple[str, ...] = ()) -> set[str]:
    return {name for name, choice in choose(interfaces, wanted).items() if choice.captured}


def test_uplinks_and_loopback() -> None:
    assert captured(LO, make_interface(2, "eth0"), make_interface(3, "wlan0")) == {"lo", "eth0", "wlan0"}


def test_down_or_without_a_reaching_address_is_left_out() -> None:
    eth0, wlan0 = make_interface(2, "eth0", up=False), make_interface(3, "wlan0", has_global=False)
    choices = choose([eth0, wlan0])
    assert choices["eth0"].reason == "it is down"
    assert "address" in choices["wlan0"].reason


def test_a_machine_with_docker_counts_its_uplink_once() -> None:
    machine = (
        LO,
        make_interface(2, "eth0"),
        make_interface(3, "docker0", kind="bridge"),
        make_interface(4, "veth123", kind="veth", master=3, has_global=False),
    )
    assert captured(*machine) == {"lo", "eth0"}


def test_a_bridge_over_the_card_is_the_uplink() -> None:
    machine = (
        make_interface(2, "eth0", master=3, has_global=False),
        make_interface(3, "br0", kind="bridge"),
        make_interface(4, "vnet0", kind="tun", master=3, has_global=False),
    )
    assert captured(*machine) == {"br0"}


def test_a_bond_is_the_uplink_of_its_cards() -> None:
    bond = make_interface(4, "bond0", kind="bond")
    assert captured(make_interface(2, "eth0", master=4), make_interface(3, "eth1", master=4), bond) == {"bond0"}


def test_a_vlan_on_a_captured_card_is_seen_there() -> None:
    vlan = make_interface(3, "eth0.5", kind="vlan", link=2)
    assert captured(make_interface(2, "eth0"), vlan) == {"eth0"}
    assert captured(make_interface(2, "eth0", has_global=False), vlan) == {"eth0.5"}


def test_inside_a_container_the_veth_is_the_uplink() -> None:
    # Its other end lies in another namespace; the index may be one that is used here as well.
    assert captured(LO, make_interface(2, "eth0", kind="veth", link=2)) == {"lo", "eth0"}


def test_a_tunnel_is_counted_where_it_leaves() -> None:
    tunnel = make_tunnel(3, "wg0", kind="wireguard")
    choices = choose([make_interface(2, "eth0"), tunnel])
    assert not choices["wg0"].captured
    assert "tunnel" in choices["wg0"].reason


def make_tunnel(ifindex: int, name: str, **changes: Any) -> Interface:
    return make_interface(ifindex, name, **{"ethernet": False, "tunnel": True, **changes})


def test_one_class_of_interfaces_is_counted() -> None:
    # A VPN over dial-up over a card: each packet would be seen three times.
    wg0, ppp0, eth0 = make_tunnel(4, "wg0"), make_tunnel(3, "ppp0", tunnel=False), make_interface(2, "eth0")
    assert captured(LO, eth0, ppp0, wg0) == {"lo", "eth0"}
    assert captured(LO, ppp0, wg0) == {"lo", "ppp0"}
    assert captured(LO, wg0, make_tunnel(5, "wg1")) == {"lo", "wg0", "wg1"}
    # Not even when both are named; a card without an address carries nothing of its own.
    assert captured(LO, eth0, wg0, wanted=("eth0", "wg0")) == {"lo", "eth0"}
    assert captured(LO, eth0, wg0, wanted=("wg0",)) == {"lo", "wg0"}
    assert captured(LO, eth0._replace(has_global=False), ppp0) == {"lo", "ppp0"}


def test_a_tunnel_s_frames_begin_with_the_ip_header() -> None:
    assert make_tunnel(4, "tun0", kind="tun").link_type == RAW
    assert make_interface(2, "eth0").link_type == ETHERNET
    assert captured(make_tunnel(4, "tun0", kind="tun")) == {"tun0"}
    assert captured(make_interface(4, "tap0", kind="tun")) == set()


def test_names_decide_when_they_are_given() -> None:
    machine = (LO, make_interface(2, "eth0"), make_interface(3, "dummy0", kind="dummy"), make_interface(4, "eth1"))
    assert captured(*machine, wanted=("dummy0",)) == {"lo", "dummy0"}


def test_this_machine_s_interfaces() -> None:
    netlink = NetlinkSocket(ROUTE)
    try:
        found = {interface.name: interface for interface in read_interfaces(netlink)}
    finally:
        netlink.close()
    other_view = psutil.net_if_addrs()
    assert found.keys() == psutil.net_if_stats().keys()
    for name, interface in found.items():
        wanted = {
            address.address.split("%")[0]
            for address in other_view.get(name, [])
            if address.family in (socket.AF_INET, socket.AF_INET6)
        }
        assert {address_text(address) for address in interface.addresses} == wanted
    assert found["lo"].loopback
    assert not found["lo"].has_global
    # Counters only grow, so the earlier reading is the smaller one.
    assert found["lo"].counters.bytes_in <= psutil.net_io_counters(pernic=True)["lo"].bytes_recv
