"""What crosses the bus keeps its bytes, is bounded before it is inflated, and is read by older and newer readers."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from netally.contracts import wire
from netally.contracts.agent import AgentReported, InterfaceState, LiveFlow, LiveSample
from netally.contracts.commands import Command, DeadLetter, Outcome
from netally.contracts.flow import (
    MAX_AMOUNT,
    MAX_NAME,
    MAX_RECORDS,
    MAX_TABLE,
    App,
    Coverage,
    FlowRecord,
    FlowsObserved,
    TallyRow,
)
from netally.contracts.wire import UndecodableError, decode_batch, decode_json, encode_batch, encode_json
from tests.builders import make_agent_report, make_batch, make_flow_record, make_live_sample, make_tally_row, packed

BATCH = make_batch(
    [
        make_flow_record(),
        make_flow_record(
            app=0, domain=0, remote=packed("2001:db8::1"), retrans=40, scope=2, server_port=0, protocol=58
        ),
    ],
    epoch="0123456789abcdef0123456789abcdef",
    tally=[make_tally_row(bytes_in=-2, packets_in=0)],
    coverage=Coverage(mode=2, measured_ms=4_990, part=1, parts=2),
)

GOLDEN_BATCH = bytes.fromhex(
    "9b01b17765622d312e6578616d706c652e6f7267d9203031323334353637383961626364656630313233343536373839616263646566"
    "01cf000001a2008d7400059295a0a0a0a0a095a46375726cad2f7573722f62696e2f6375726ca3616461a0a092a0ab6578616d706c65"
    "2e6f726792dc00100101000106cd01bb01c404cb007107cd05dccd012c0303010202c0dc0010000000023a0001c41020010db8000000"
    "000000000000000001cd05dccd012c0303010202289602cd137e0102c2009196a46574683001fecd012c0003"
)
BEFORE_CUT = bytes.fromhex(GOLDEN_BATCH.hex().replace("289602cd137e0102c200", "289502cd137e0102c2"))
"""As agents sent it that did not tell where an interval was cut."""


def pack(value: object) -> bytes:
    """A frame as `encode_batch` makes it, of anything."""
    return zstandard.ZstdCompressor(level=1, write_content_size=True).compress(msgspec.msgpack.encode(value))


def rows_of(batch: FlowsObserved) -> list[object]:
    """The batch as plain lists, to be changed."""
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(batch))
    assert isinstance(plain, list)
    return plain


def test_a_batch_keeps_its_bytes() -> None:
    assert zstandard.ZstdDecompressor().decompress(encode_batch(BATCH)) == GOLDEN_BATCH


@pytest.mark.parametrize("golden", [GOLDEN_BATCH, BEFORE_CUT])
def test_the_bytes_of_a_batch_are_still_read(golden: bytes) -> None:
    frame = zstandard.ZstdCompressor(level=1, write_content_size=True).compress(golden)
    assert decode_batch(frame) == BATCH


GOLDEN_JSON = [
    (
        make_agent_report(host="a", epoch="e"),
        b'{"host":"a","time":1795305600000,"version":"0.1.0","started_at":1795305540000,"mode":"packets",'
        b'"mode_reason":"","interval":5,"paused":false,"interfaces":[{"name":"eth0","addresses":["192.0.2.2"],'
        b'"captured":true,"speed_mbit":null}],"epoch":"e","sequence":1,"spool_batches":0,"spool_bytes":0,'
        b'"lost_batches":0,"ring_drops":0,"settings_version":0,"kind":"agent"}',
    ),
    (
        make_live_sample(host="a"),
        b'{"host":"a","time":1795305600000,"span_ms":1000,"bytes_in":1000000,"bytes_out":100000,"packets_in":800,'
        b'"packets_out":400,"flows":[{"app":"curl","domain":"example.org","remote":"203.0.113.7","bytes_in":1000000,'
        b'"bytes_out":100000}]}',
    ),
    (
        Command(id="1", name="pause", arguments={"host": "a"}, actor="ada", issued_at=5),
        b'{"id":"1","name":"pause","arguments":{"host":"a"},"actor":"ada","actor_verified":false,"dry_run":false,'
        b'"idempotency_key":null,"issued_at":5,"deadline":null}',
    ),
    (
        Outcome(command_id="1", source="aggregator", state="failed", time=5, message="no such host", field="host"),
        b'{"command_id":"1","source":"aggregator","state":"failed","time":5,"message":"no such host","result":{},'
        b'"field":"host"}',
    ),
    (
        DeadLetter(stream="FLOWS", subject="flows.v1.a", stream_sequence=3, reason="r", time=5, payload=b"\x00\xff"),
        b'{"stream":"FLOWS","subject":"flows.v1.a","stream_sequence":3,"reason":"r","time":5,"payload":"AP8="}',
    ),
]


@pytest.mark.parametrize(("value", "golden"), GOLDEN_JSON, ids=lambda value: type(value).__name__)
def test_json_structs_keep_their_bytes(value: msgspec.Struct, golden: bytes) -> None:
    assert encode_json(value) == golden
    assert decode_json(golden, type(value)) == value


def test_every_struct_that_crosses_the_bus_has_golden_bytes() -> None:
    in_batch = {FlowsObserved, FlowRecord, App, Coverage, TallyRow}
    in_json = {type(value) for value, _ in GOLDEN_JSON} | {InterfaceState, LiveFlow}
    crossing = in_batch | {AgentReported, InterfaceState, LiveSample, LiveFlow, Command, Outcome, DeadLetter}
    assert in_batch | in_json == crossing


names = st.text(max_size=40).filter(lambda name: "\0" not in name)
amounts = st.integers(0, MAX_AMOUNT)
records = st.builds(
    FlowRecord,
    app=st.integers(0, 2),
    domain=st.integers(0, 1),
    site=st.integers(0, 1),
    scope=st.integers(0, 5),
    protocol=st.integers(0, 255),
    server_port=st.integers(0, 65_535),
    role=st.integers(0, 2),
    remote=st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16),
    bytes_in=amounts,
    bytes_out=amounts,
    packets_in=amounts,
    packets_out=amounts,
    connections=st.integers(0, 2**31 - 1),
    domain_source=st.integers(0, 7),
    process_source=st.integers(0, 3),
    retrans=st.none() | amounts,
)
apps = st.builds(App, name=names, executable=names, user=names, unit=names, container=names)


@given(st.lists(records, max_size=5), st.lists(apps, min_size=2, max_size=2), names, st.integers(1, 2**62 - 1))
def test_a_batch_survives_the_way_there_and_back(
    rows: list[FlowRecord], some: list[App], domain: str, sequence: int
) -> None:
    batch = make_batch(rows, apps=some, domains=[domain], sequence=sequence)
    assert decode_batch(encode_batch(batch)) == batch


@given(st.binary(max_size=300))
def test_noise_is_undecodable_and_nothing_else(noise: bytes) -> None:
    with pytest.raises(UndecodableError):
        decode_batch(noise)


@given(st.data())
def test_a_damaged_batch_never_raises_anything_else(data: st.DataObject) -> None:
    frame = bytearray(encode_batch(BATCH))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(UndecodableError):
        decode_batch(bytes(frame))


def test_nesting_without_end_is_undecodable() -> None:
    plain = msgspec.msgpack.encode(make_batch())
    frame = zstandard.ZstdCompressor(level=1).compress(b"\x9c" + plain[1:] + b"\x91" * 100_000)
    with pytest.raises(UndecodableError):
        decode_batch(frame)
    with pytest.raises(UndecodableError):
        decode_json(b'{"host":' + b"[" * 100_000, AgentReported)


@pytest.mark.parametrize("length", [0, 1, 4, 10, len(encode_batch(BATCH)) - 1])
def test_a_truncated_frame_is_undecodable(length: int) -> None:
    with pytest.raises(UndecodableError):
        decode_batch(encode_batch(BATCH)[:length])


def test_a_bomb_is_refused_before_it_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zstandard.ZstdCompressor(level=1, write_content_size=True).compress(bytes(200_000_000))
    assert len(bomb) < 20_000

    # Without it inflating fails, in no words fit for a dead letter.
    monkeypatch.delattr("netally.contracts.wire._decompressor")
    with pytest.raises(UndecodableError, match="inflates to 200000000 bytes"):
        decode_batch(bomb)


def test_a_frame_that_hides_its_size_is_refused() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100_000_000))
    with pytest.raises(UndecodableError, match="does not state its size"):
        decode_batch(frame)


def test_a_reader_of_today_reads_a_batch_with_fields_added_at_the_end() -> None:
    plain = rows_of(BATCH)
    plain.append("added to the batch")
    for column in (6, 8, 10):
        entries = plain[column]
        assert isinstance(entries, list)
        for entry in entries:
            entry.append("added to the row")
    coverage = plain[9]
    assert isinstance(coverage, list)
    coverage.append(1)
    assert decode_batch(pack(plain)) == BATCH


def test_a_reader_of_today_reads_a_batch_without_the_fields_that_have_defaults() -> None:
    plain = rows_of(make_batch())
    records = plain[8]
    assert isinstance(records, list)
    records[0].pop()
    assert decode_batch(pack(plain)).records[0].retrans is None


IMPOSSIBLE = [
    (make_batch(version=2), "version 2"),
    (make_batch(host=""), "host name"),
    (make_batch(host="a\0b"), "host name"),
    (make_batch(epoch="short"), "epoch"),
    (make_batch(sequence=0), "sequence 0"),
    (make_batch(interval=7), "interval of 7 s"),
    (make_batch(start=1), "no multiple"),
    (make_batch([make_flow_record(app=2)]), "outside the tables"),
    (make_batch([make_flow_record(domain=2)]), "outside the tables"),
    (make_batch([make_flow_record(site=2)]), "outside the tables"),
    (make_batch([make_flow_record(remote=b"12345")]), "address of 5 bytes"),
    (make_batch([make_flow_record()] * (MAX_RECORDS + 1)), r"length <= 2000 - at `\$\[8\]`"),
    (make_batch(domains=[""] * MAX_TABLE), r"length <= 8000 - at `\$\[7\]`"),
    (make_batch(apps=[App("")] * MAX_TABLE), r"length <= 8000 - at `\$\[6\]`"),
    (make_batch(tally=[make_tally_row()] * (MAX_TABLE + 1)), "length <= 8000"),
    (make_batch([make_flow_record(bytes_in=-1)]), "bytes_in|>= 0"),
    (make_batch([make_flow_record(bytes_in=MAX_AMOUNT + 1)]), "<= "),
    (make_batch([make_flow_record(server_port=65_536)]), "<= 65535"),
    (make_batch(domains=["d" * (MAX_NAME + 1)]), "length <= 255"),
    (make_batch(domains=["a\0b"]), "NUL"),
    (make_batch(apps=[App(name="a", unit="\0")]), "NUL"),
    (make_batch(tally=[make_tally_row(interface="e\0")]), "NUL"),
    (make_batch(coverage=Coverage(mode=2, measured_ms=1, part=2, parts=2)), "part 2 of 2"),
]


@pytest.mark.parametrize(
    ("batch", "reason"), IMPOSSIBLE, ids=[f"{number}: {reason}" for number, (_, reason) in enumerate(IMPOSSIBLE)]
)
def test_a_batch_that_cannot_be_is_refused_with_the_reason(batch: FlowsObserved, reason: str) -> None:
    with pytest.raises(UndecodableError, match=reason):
        decode_batch(encode_batch(batch))


def test_the_tables_of_a_batch_must_have_entry_0() -> None:
    batch = msgspec.structs.replace(make_batch([]), apps=[])
    with pytest.raises(UndecodableError, match="entry 0"):
        decode_batch(encode_batch(batch))


def test_large_json_is_refused_unread() -> None:
    with pytest.raises(UndecodableError, match="bytes of JSON"):
        decode_json(b'"' + b"x" * wire.MAX_JSON_BYTES + b'"', AgentReported)
