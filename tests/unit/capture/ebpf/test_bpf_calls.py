"""bpf(2): maps written and read as a whole, refusals in words. Where the kernel refuses, what it says is tested."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from netally.capture.ebpf import bpf_calls
from netally.capture.ebpf.kernel_programs import problem

pytestmark = pytest.mark.root
HASH = 1
KEY = np.dtype([("number", "<u4")])
VALUE = np.dtype([("square", "<u8")])


@pytest.fixture
def numbers() -> Iterator[int | None]:
    """A map; None where the kernel has none for this agent, which then says so."""
    if problem():
        with pytest.raises(OSError, match=r"."):
            os.close(bpf_calls.create_map("numbers", HASH, 4, 8, 20_000, 0))
        yield None
        return
    descriptor = bpf_calls.create_map("numbers", HASH, 4, 8, 20_000, 0)
    yield descriptor
    os.close(descriptor)


def test_a_map_is_read_whole_and_entries_are_deleted(numbers: int | None) -> None:
    if numbers is None:
        return
    count = 10_000
    for number in range(count):
        bpf_calls.update(numbers, struct.pack("=I", number), struct.pack("=Q", number * number))
    reader = bpf_calls.BatchReader(numbers, KEY, VALUE)
    keys, values = reader.read()
    assert len(keys) == count
    assert dict(zip(keys["number"].tolist(), values["square"].tolist(), strict=True)) == {
        number: number * number for number in range(count)
    }
    # Some of them are gone when they are to be deleted.
    for number in range(0, count, 500):
        bpf_calls.delete(numbers, struct.pack("=I", number))
    reader.delete(keys[keys["number"] < count - 7])
    assert sorted(reader.read()[0]["number"].tolist()) == list(range(count - 7, count))


def test_an_empty_map_is_read_as_nothing(numbers: int | None) -> None:
    if numbers is None:
        return
    keys, values = bpf_calls.BatchReader(numbers, KEY, VALUE).read()
    assert (len(keys), len(values)) == (0, 0)


def test_what_is_not_there_cannot_be_deleted(numbers: int | None) -> None:
    if numbers is None:
        return
    with pytest.raises(KeyError):
        bpf_calls.delete(numbers, bytes(4))


def test_a_program_that_reads_what_it_must_not_is_refused_with_the_reason(numbers: int | None) -> None:
    if numbers is None:
        return
    load_null = struct.pack("<BBhi", 0xB7, 1, 0, 0) + struct.pack("<BBhi", 0x79, 0x10, 0, 0)
    leave = struct.pack("<BBhi", 0x95, 0, 0, 0)
    with pytest.raises(bpf_calls.VerifierError, match=r"the kernel refuses the program wrong: .*R1") as caught:
        bpf_calls.load_program("wrong", 1, 0, load_null + leave, "Apache-2.0")
    assert caught.value.errno == errno.EACCES


def test_control_groups_are_reached_where_none_are_mounted(numbers: int | None) -> None:
    if numbers is None:
        return
    descriptor = bpf_calls.mount_cgroups()
    try:
        assert os.stat("cgroup.procs", dir_fd=descriptor).st_size == 0
    finally:
        os.close(descriptor)
