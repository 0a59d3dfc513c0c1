"""QUIC Initials: keys as the RFCs' examples have them, hellos in shuffled pieces, hostile datagrams."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.capture import tls
from netally.capture.quic import (
    _SALTS,
    _VERSIONS_2,
    MAX_FAILURES,
    VERSION_1,
    VERSION_2,
    Hello,
    QuicHellos,
    client_keys,
    crypto_frames,
    is_candidate,
)
from tests.captures import make_chlo, make_client_hello, make_crypto_frame, make_extension, make_initial

ID = bytes.fromhex("8394c8f03e515708")
NAME = "www.example.org"
HELLO = make_client_hello(NAME, extensions=[make_extension(0x4469, bytes(1_200))])


def keys_of(version: int, connection_id: bytes = ID) -> tuple[bytes, bytes, bytes]:
    return client_keys(version, _SALTS[version][0], connection_id)


def name_of(hello: Hello | None) -> str | None:
    if hello is None:
        return None
    parsed = tls.parse_hello_body(hello.client_hello[4:], complete=hello.complete)
    return parsed.server_name if isinstance(parsed, tls.ClientHello) else None


def test_keys_of_rfc_9001_appendix_a() -> None:
    assert [part.hex() for part in keys_of(VERSION_1)] == [
        "1f369613dd76d5467730efcbe3b1a22d",
        "fa044b2f42a3fd3b46fb255c",
        "9f50449e04a0e810283a1e9933adedd2",
    ]


def test_keys_of_rfc_9369_appendix_a() -> None:
    assert [part.hex() for part in keys_of(VERSION_2)] == [
        "8b1a0bc121284290a29e0971b5cd045d",
        "91f73e2351d8fa91660e909f",
        "45b95e15235d6f45a6b19cbcb0294ba9",
    ]


@pytest.mark.parametrize("version", sorted(_SALTS))
def test_every_version_whose_salt_is_known(version: int) -> None:
    hello = make_client_hello(NAME)
    datagram = make_initial(
        keys_of(version), make_crypto_frame(0, hello), version=version, kind=1 if version in _VERSIONS_2 else 0
    )
    assert is_candidate(datagram)
    assert QuicHellos().feed("flow", datagram, 0.0) == Hello(hello)


@pytest.mark.parametrize("salt_of", [VERSION_1, 0xFF00001D, 0xFF00001B, 0xFF000016])
def test_mvfst_experiments_are_tried_with_each_salt(salt_of: int) -> None:
    datagram = make_initial(keys_of(salt_of), make_crypto_frame(0, HELLO[:900]), version=0xFACEB013)
    found = QuicHellos().feed("flow", datagram, 0.0)
    assert found == Hello(HELLO[:900], complete=False)


def shuffled(pieces: int, seed: int) -> list[bytes]:
    """Datagrams of a hello cut into pieces, in any order, mixed with padding, PING and ACK."""
    rng = random.Random(seed)
    cuts = sorted(rng.sample(range(1, len(HELLO)), pieces - 1))
    frames = [make_crypto_frame(a, HELLO[a:b]) for a, b in itertools.pairwise([0, *cuts, len(HELLO)])]
    rng.shuffle(frames)
    half = [b"", b""]
    for frame in frames:
        room = 0 if len(half[0]) + len(frame) < 1_050 else 1
        half[room] += rng.choice((b"", b"\0\0", b"\x01", b"\x02\x00\x00\x00\x00")) + frame
    return [
        make_initial(keys_of(VERSION_1), part, number=number, size=max(1_200, len(part) + 60))
        for number, part in enumerate(half)
    ]


@pytest.mark.parametrize("seed", range(10))
def test_shuffled_pieces_over_two_datagrams(seed: int) -> None:
    for order in ((0, 1), (1, 0)):
        datagrams = shuffled(9, seed)
        hellos = QuicHellos()
        found = [hellos.feed("flow", datagrams[index], 0.1 * index) for index in order]
        assert found[1] == Hello(HELLO)
        assert name_of(found[1]) == NAME


def test_a_name_before_the_first_hole_is_found_at_once() -> None:
    hello = make_client_hello(NAME, behind=[make_extension(0x4469, bytes(1_200))])
    found = QuicHellos().feed("flow", make_initial(keys_of(VERSION_1), make_crypto_frame(0, hello[:800])), 0.0)
    assert found is not None
    assert not found.complete
    assert name_of(found) == NAME


def test_the_keys_of_the_first_initial_open_those_with_the_servers_id() -> None:
    keys = keys_of(VERSION_1)
    hellos = QuicHellos()
    hellos.feed("flow", make_initial(keys, make_crypto_frame(0, HELLO[:700]), number=0), 0.0)
    second = make_initial(keys, make_crypto_frame(700, HELLO[700:]), number=1, connection_id=b"other id")
    assert hellos.feed("flow", second, 0.1) == Hello(HELLO)


def test_coalesced_packets_in_one_datagram() -> None:
    keys = keys_of(VERSION_1)
    first = make_initial(keys, make_crypto_frame(0, HELLO[:600]), number=0, size=700)
    second = make_initial(keys, make_crypto_frame(600, HELLO[600:]), number=1, size=900)
    assert QuicHellos().feed("flow", first + second, 0.0) == Hello(HELLO)


def test_pieces_of_other_flows_and_of_long_ago_do_not_mix() -> None:
    keys = keys_of(VERSION_1)
    first = make_initial(keys, make_crypto_frame(0, HELLO[:600]), number=0)
    second = make_initial(keys, make_crypto_frame(600, HELLO[600:]), number=1)
    hellos = QuicHellos(lifetime=10.0)
    assert hellos.feed("one", first, 0.0) is not None
    assert hellos.feed("two", second, 0.0) is None
    assert hellos.feed("one", second, 11.0) is None


def test_gquic_says_its_name_readable() -> None:
    public = b"\x0d" + bytes(8) + b"Q039" + b"\x01" + bytes(12) + b"\xa0\x01\x04\x00" + make_chlo(NAME)
    assert QuicHellos().feed("flow", public, 0.0) == Hello(server_name=NAME.encode())
    long = b"\xc3Q046\x50" + bytes(8) + b"\0\0\0\1" + bytes(12) + b"\xa0\x01" + make_chlo(NAME)
    assert QuicHellos().feed("flow", long, 0.0) == Hello(server_name=NAME.encode())


def test_gquic_50_has_its_hello_in_a_crypto_frame() -> None:
    chlo = make_chlo(NAME)
    payload = b"\x08\x00" + (0x4000 | len(chlo)).to_bytes(2, "big") + chlo
    datagram = make_initial(keys_of(0x51303530), payload, version=0x51303530)
    assert QuicHellos().feed("flow", datagram, 0.0) == Hello(server_name=NAME.encode())


def test_a_key_that_does_not_fit_costs_a_bounded_number_of_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []
    monkeypatch.setattr("netally.capture.quic._make_keys", lambda *_: tries.append(1))
    monkeypatch.setattr("netally.capture.quic._open", lambda *_: None)
    hellos = QuicHellos()
    for number in range(100):
        hellos.feed("flow", make_initial(keys_of(VERSION_1), b"", number=number), 0.0)
    assert len(tries) == MAX_FAILURES


def test_connections_are_bounded() -> None:
    hellos = QuicHellos(limit=5)
    datagram = make_initial(keys_of(VERSION_1), make_crypto_frame(0, HELLO[:600]))
    for flow in range(20):
        hellos.feed(flow, datagram, 0.0)
    assert len(hellos) == 5


def test_pieces_are_bounded() -> None:
    hellos = QuicHellos()
    for number in range(200):
        payload = b"".join(make_crypto_frame(1 + number * 50 + index, b"x") for index in range(40))
        hellos.feed("flow", make_initial(keys_of(VERSION_1), payload, number=number), 0.0)
    far = make_initial(keys_of(VERSION_1), make_crypto_frame(16_383, b"xy"), number=201)
    assert hellos.feed("flow", far, 0.0) is None


@pytest.mark.parametrize("payload", [b"", b"\x40" * 30, b"\xc0" + bytes(30), b"\x80\0\0\0\1" + bytes(30), b"\0" * 40])
def test_other_udp_is_no_candidate(payload: bytes) -> None:
    assert not is_candidate(payload)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=6), st.integers(1, 1_200), st.integers(0, 4)
)
def test_mutated_initials_never_raise(changes: list[tuple[int, int]], cut: int, kind: int) -> None:
    chlo = b"\x0d" + bytes(8) + b"Q039" + b"\x01" + bytes(12) + make_chlo(NAME)
    datagram = bytearray(
        chlo if kind == 4 else make_initial(keys_of(VERSION_1), make_crypto_frame(0, HELLO[:900]), kind=kind)
    )
    for place, value in changes:
        if place < len(datagram):
            datagram[place] = value
    hellos = QuicHellos()
    for number in range(2):
        found = hellos.feed("flow", bytes(datagram[:cut]), float(number))
        assert found is None or len(found.client_hello) <= 16_384


@given(st.binary(max_size=200))
def test_any_payload_gives_frames_within_it(payload: bytes) -> None:
    for _, data in crypto_frames(payload):
        assert data in payload


@given(st.integers(2, 20), st.integers(0, 2**32))
def test_any_cut_and_order_gives_the_hello(pieces: int, seed: int) -> None:
    hellos = QuicHellos()
    found = [hellos.feed("flow", datagram, 0.0) for datagram in shuffled(pieces, seed)]
    assert found[-1] == Hello(HELLO)
