from __future__ import annotations

from typing import Any

import msgspec
import pytest

from netally.aggregator.peers import Peers, addresses, with_peers
from netally.contracts.agent import InterfaceState
from netally.contracts.codes import Scope
from tests.builders import make_batch, make_flow_record, packed


def interface(*texts: str, captured: bool = True) -> InterfaceState:
    return InterfaceState(name="eth0", addresses=list(texts), captured=captured)


def test_addresses_of_captured_interfaces_belong_to_their_host() -> None:
    found = addresses(
        [
            (1, [interface("10.0.0.1", "2001:db8::1"), interface("192.0.2.1")]),
            (2, [interface("10.0.0.2"), interface("172.17.0.1", captured=False)]),
        ]
    )
    assert found == {
        packed("10.0.0.1"): 1,
        packed("2001:db8::1"): 1,
        packed("192.0.2.1"): 1,
        packed("10.0.0.2"): 2,
    }


def test_an_address_that_two_hosts_claim_is_nobodys() -> None:
    """Two sites that use the same private range: a flow to it may be to anything there."""
    claimed = [(host_id, [interface("192.168.1.10", f"10.0.0.{host_id}")]) for host_id in (1, 2, 3)]
    assert addresses(claimed) == {packed(f"10.0.0.{host_id}"): host_id for host_id in (1, 2, 3)}


def test_a_host_may_have_an_address_twice() -> None:
    assert addresses([(1, [interface("10.0.0.1"), interface("10.0.0.1")])]) == {packed("10.0.0.1"): 1}


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "::1", "fe80::1", "169.254.0.7", "0.0.0.0", "::", "ff02::1", "no address"]
)
def test_what_names_no_host_of_its_own_is_left_out(text: str) -> None:
    assert addresses([(1, [interface(text)])]) == {}


@pytest.mark.parametrize(
    ("scope", "remote", "wanted"),
    [
        (Scope.PRIVATE, "10.0.0.2", Scope.PEER),
        (Scope.INTERNET, "10.0.0.2", Scope.PEER),
        (Scope.UNKNOWN, "10.0.0.2", Scope.PEER),
        (Scope.PRIVATE, "10.0.0.3", Scope.PRIVATE),
        # Its own address.
        (Scope.PRIVATE, "10.0.0.7", Scope.PRIVATE),
        # What lies outside totals stays there.
        (Scope.LOOPBACK, "10.0.0.2", Scope.LOOPBACK),
        (Scope.REPLAY, "10.0.0.2", Scope.REPLAY),
    ],
)
def test_a_flow_to_another_agents_address_is_between_peers(scope: Scope, remote: str, wanted: Scope) -> None:
    batch = make_batch([make_flow_record(scope=int(scope), remote=packed(remote)), make_flow_record()])
    made = with_peers(batch, 7, {packed("10.0.0.2"): 2, packed("10.0.0.7"): 7})
    assert [record.scope for record in made.records] == [wanted, Scope.INTERNET]
    assert [record.bytes_in for record in made.records] == [record.bytes_in for record in batch.records]


class Pool:
    """Knows what some agents reported."""

    def __init__(self, **interfaces: str) -> None:
        self.rows = [{"host_id": number, "interfaces": text} for number, text in enumerate(interfaces.values(), 1)]

    async def fetch(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        return self.rows


async def test_a_host_whose_report_is_not_to_be_read_does_not_hold_up_the_others() -> None:
    many = msgspec.json.encode([interface(f"10.{a}.{b}.1") for a in range(250) for b in range(40)]).decode()
    pool: Any = Pool(strange='[{"name": 7}]', large=many, good=msgspec.json.encode([interface("192.0.2.1")]).decode())
    found = await Peers(pool, lambda: 10**9).hosts()
    assert len(many) > 256 * 1024
    assert (len(found), found[packed("192.0.2.1")]) == (10_001, 3)
