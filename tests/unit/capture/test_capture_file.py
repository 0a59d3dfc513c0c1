"""Capture files: every dialect, and what is left of a file that is cut, lies or turns to nonsense."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from pathlib import Path

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.capture.capture_file import MAX_FRAME, CaptureFile, CaptureFileError, Frame
from tests.captures import BEGIN, SECOND, make_block, make_interface, make_packet_block, make_pcap, make_section

FRAMES = [(BEGIN + 7_000, b"first", 5), (BEGIN + SECOND + 123_456_000, b"second", 1_500)]


def read(data: bytes) -> tuple[list[Frame], str]:
    file = CaptureFile(io.BytesIO(data))
    return list(file), file.problem


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dialect", ["plain", "nanoseconds", "modified"])
def test_pcap_dialects_give_the_same_frames(order: str, dialect: str) -> None:
    data = make_pcap(
        FRAMES, order=order, nanoseconds=dialect == "nanoseconds", modified=dialect == "modified", link_type=113
    )
    frames, problem = read(data)
    assert problem == ""
    assert [(f.link_type, f.time, f.data, f.length) for f in frames] == [(113, *frame) for frame in FRAMES]


def test_frame_check_sequence_bits_are_no_link_type() -> None:
    assert [frame.link_type for frame in read(make_pcap([b"x"], link_type=0x4400_0001))[0]] == [1]


def test_nanoseconds_are_kept() -> None:
    assert [f.time for f in read(make_pcap([(BEGIN + 1, b"x", 1)], nanoseconds=True))[0]] == [BEGIN + 1]


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_with_interfaces_of_different_link_types_and_units(order: str) -> None:
    data = make_section(order)
    data += make_interface(1, order)
    data += make_interface(101, order, [(9, b"\x09"), (14, struct.pack(order + "q", 5))])
    data += make_interface(276, order, [(9, b"\x8a")])  # units of 2^-10 seconds
    data += make_packet_block(b"ether", order=order)
    data += make_packet_block(b"raw", interface=1, stamp=BEGIN + 1, length=99, order=order)
    data += make_packet_block(b"cooked", interface=2, stamp=(BEGIN // SECOND << 10) + 512, order=order)
    frames, problem = read(data)
    assert problem == ""
    assert [(f.link_type, f.time, f.data, f.length) for f in frames] == [
        (1, BEGIN, b"ether", 5),
        (101, BEGIN + 1 + 5 * SECOND, b"raw", 99),
        (276, BEGIN + SECOND // 2, b"cooked", 6),
    ]


def test_sections_count_their_interfaces_and_byte_order_anew() -> None:
    data = make_section() + make_interface(1) + make_packet_block(b"one")
    data += make_section(">") + make_interface(101, ">") + make_packet_block(b"two", order=">")
    assert [(f.link_type, f.data) for f in read(data)[0]] == [(1, b"one"), (101, b"two")]


def test_simple_and_obsolete_packet_blocks() -> None:
    data = make_section() + make_interface(1, snap=4)
    data += make_packet_block(b"four")
    data += make_block(3, struct.pack("<I", 9) + b"nine")
    old = struct.pack("<HHIIII", 0, 0, BEGIN // 1_000 >> 32, BEGIN // 1_000 & 0xFFFFFFFF, 3, 3)
    data += make_block(2, old + b"old")
    frames, problem = read(data)
    assert problem == ""
    assert [(f.time, f.data, f.length) for f in frames] == [
        (BEGIN, b"four", 4),
        (BEGIN, b"nine", 9),
        (BEGIN, b"old", 3),
    ]


def test_unknown_blocks_are_passed_over() -> None:
    data = make_section() + make_interface() + make_block(0x0BAD, b"?" * 40) + make_packet_block(b"x")
    assert [frame.data for frame in read(data)[0]] == [b"x"]


def test_a_packet_of_an_unknown_interface_is_left_out_and_said() -> None:
    data = make_section() + make_interface() + make_packet_block(b"x", interface=7) + make_packet_block(b"y")
    frames, problem = read(data)
    assert [frame.data for frame in frames] == [b"y"]
    assert "left out" in problem


def test_gzip_is_unpacked_and_a_cut_archive_gives_what_came_before() -> None:
    data = make_pcap([bytes([number]) * 1_000 for number in range(100)])
    assert len(read(gzip.compress(data))[0]) == 100
    cut = zlib.compressobj(0, wbits=31)
    frames, problem = read((cut.compress(data) + cut.flush())[: len(data) // 2])
    assert 0 < len(frames) < 100
    assert "compressed data is damaged" in problem


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "empty"), (b"\x28\xb5\x2f\xfd....", "zstd"), (b"GET / HTTP/1.1", "neither pcap nor pcapng")],
)
def test_what_is_no_capture_is_refused_in_plain_words(data: bytes, says: str) -> None:
    with pytest.raises(CaptureFileError, match=says):
        CaptureFile(io.BytesIO(data))


@pytest.mark.parametrize("cut", [30, 44, 50])
def test_a_cut_file_gives_whole_frames_and_says_so(cut: int) -> None:
    frames, problem = read(make_pcap([b"abcd", b"efgh"])[:cut])
    assert [frame.data for frame in frames] == [b"abcd"][: cut >= 44]
    assert problem.startswith("the file ends in the middle of") or cut == 44


def test_a_record_that_claims_gigabytes_does_not_take_memory() -> None:
    data = make_pcap([b"good"]) + struct.pack("<IIII", 0, 0, 0xFFFFFFF0, 1)
    frames, problem = read(data)
    assert len(frames) == 1
    assert "more than any frame has" in problem
    frames, problem = read(make_section() + make_interface() + struct.pack("<II", 6, 0x7FFFFFFC))
    assert "ends in the middle of a block" in problem
    frames, problem = read(make_section() + make_interface() + struct.pack("<II", 6, 30) + bytes(40))
    assert "impossible length" in problem


def test_a_huge_block_of_another_kind_is_passed_over() -> None:
    data = make_section() + make_interface() + make_block(0x0BAD, bytes(MAX_FRAME + 5_000)) + make_packet_block(b"x")
    frames, problem = read(data)
    assert ([frame.data for frame in frames], problem) == ([b"x"], "")


def test_pipes_that_give_less_than_asked() -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 3, 3))

    assert [frame.data for frame in CaptureFile(Trickle(make_pcap([b"abcdefgh"])))] == [b"abcdefgh"]


def test_dpkt_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "file.pcap"
    path.write_bytes(make_pcap(FRAMES, nanoseconds=True))
    with path.open("rb") as stream:
        theirs = [(int(time * SECOND), data) for time, data in dpkt.pcap.Reader(stream)]
    assert theirs == [(frame.time, frame.data) for frame in read(path.read_bytes())[0]]


SEEDS = [
    make_pcap(FRAMES),
    make_pcap(FRAMES, order=">", nanoseconds=True),
    make_section()
    + make_interface(1, options=[(9, b"\x06")])
    + make_packet_block(b"frame")
    + make_block(3, b"\5\0\0\0simple"),
]


@given(st.sampled_from(SEEDS), st.data())
def test_mutated_files_never_raise(seed: bytes, data: st.DataObject) -> None:
    changed = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(4, len(changed) - 1))] = data.draw(st.integers(0, 255))
    frames, _ = read(bytes(changed[: data.draw(st.integers(8, len(changed)))]))
    assert all(len(frame.data) <= len(seed) for frame in frames)
