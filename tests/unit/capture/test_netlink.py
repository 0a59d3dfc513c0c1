"""Raw netlink: attributes of any bytes, answers and refusals of the kernel."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.capture.netlink import ROUTE, NetlinkSocket, attributes, payloads


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=8))
def test_attributes_come_out_as_they_went_in(wanted: list[tuple[int, bytes]]) -> None:
    data = bytearray()
    for kind, value in wanted:
        data += struct.pack("=HH", 4 + len(value), kind) + value
        data += bytes(-len(data) % 4)
    assert [(kind, bytes(value)) for kind, value in attributes(memoryview(data))] == wanted


@given(st.binary(max_size=64))
def test_any_bytes_end(data: bytes) -> None:
    assert len(list(attributes(memoryview(data)))) <= len(data) // 4


def test_a_refusal_is_an_error_with_its_number() -> None:
    netlink = NetlinkSocket(ROUTE)
    try:
        # RTM_GETLINK of an interface that cannot exist.
        with pytest.raises(OSError, match="device") as refused:
            netlink.get(18, struct.pack("=BxHiII", 0, 0, 2**31 - 1, 0, 0))
        assert refused.value.errno == errno.ENODEV
    finally:
        netlink.close()


def test_questions_one_after_the_other() -> None:
    netlink = NetlinkSocket(ROUTE)
    try:
        links = netlink.dump(18, bytes(16))
        assert netlink.get(18, struct.pack("=BxHiII", 0, 0, 1, 0, 0)) is not None
        assert len(netlink.dump(18, bytes(16))) == len(links) > 0
    finally:
        netlink.close()


@given(st.lists(st.binary(max_size=40), max_size=4), st.binary(max_size=20))
def test_messages_nobody_asked_for_come_out_whole(wanted: list[bytes], rest: bytes) -> None:
    data = bytearray()
    for payload in wanted:
        data += struct.pack("=IHHII", 16 + len(payload), 20, 0, 0, 0) + payload
        data += bytes(-len(data) % 4)
    found = [bytes(payload) for payload in payloads(memoryview(bytes(data + rest)))]
    assert found[: len(wanted)] == wanted
