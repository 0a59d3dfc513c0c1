"""Batches become rows, and absurd times do not get in."""

from __future__ import annotations

from collections import Counter

import pytest

from netally.aggregator import rows
from netally.aggregator.rows import FUTURE, TOO_OLD, Placement, place
from netally.contracts.codes import Mode
from netally.contracts.flow import Coverage
from netally.store import tables
from netally.store.database import unpack_inet, unpack_time
from tests.builders import START, make_batch, make_flow_record, make_tally_row, packed

NOW = START + 3_600_000
DAY = 86_400_000


def named(table: tables.Table, row: tables.Row) -> dict[str, object]:
    return dict(zip(table.columns, row, strict=True))


TIMES = ("time", "received_at")


def unpacked(image: bytes) -> list[tables.Row]:
    """Rows of the binary format of COPY, without its header and trailer."""
    found = []
    at = 0

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(image[at - size : at], "big", signed=True)

    while at < len(image):
        assert number(2) == len(rows.IMAGE.columns)
        row: list[object] = []
        for column in rows.IMAGE.columns:
            size = number(4)
            if size < 0:
                row.append(None)
            elif column == "remote":
                row.append(unpack_inet(image[at : (at := at + size)]))
            else:
                value = number(size)
                row.append(unpack_time((value,)) if column in TIMES else value)
        found.append(tuple(row))
    return found


def test_a_record_becomes_a_row_with_the_ids_of_its_names() -> None:
    record = make_flow_record(app=1, domain=2, site=1, remote=packed("2001:db8::1"), retrans=9, server_port=8443)
    batch = make_batch([record], domains=["a.example", "b.example"])
    (row,) = unpacked(rows.flow_image(batch, START, 7, [0, 70], [0, 80, 81], NOW))
    assert named(rows.IMAGE, row) == {
        "time": START,
        "host_id": 7,
        "app_id": 70,
        "domain_id": 81,
        "site_id": 80,
        "scope": record.scope,
        "protocol": record.protocol,
        "server_port": 8443,
        "role": record.role,
        "remote": packed("2001:db8::1"),
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "packets_in": record.packets_in,
        "packets_out": record.packets_out,
        "retrans": 9,
        "connections": record.connections,
        "domain_source": record.domain_source,
        "process_source": record.process_source,
        "received_at": NOW,
    }


def test_a_row_has_every_column_once() -> None:
    assert sorted(rows.IMAGE.columns) == sorted(tables.FLOW.columns)


def test_rows_of_every_shape_are_there() -> None:
    records = [
        make_flow_record(remote=packed(address), retrans=retrans, bytes_in=2**46)
        for address in ("203.0.113.7", "2001:db8::1")
        for retrans in (None, 0, 2**46)
    ]
    found = [
        named(rows.IMAGE, row) for row in unpacked(rows.flow_image(make_batch(records), START, 7, [0, 9], [0, 8], NOW))
    ]
    # Rows of one shape stand together, so the order is another.
    assert Counter((row["remote"], row["retrans"], row["bytes_in"]) for row in found) == Counter(
        (record.remote, record.retrans, record.bytes_in) for record in records
    )
    assert {(row["app_id"], row["domain_id"], row["site_id"], row["host_id"], row["time"]) for row in found} == {
        (9, 8, 0, 7, START)
    }


def test_what_is_unknown_has_id_0() -> None:
    batch = make_batch([make_flow_record(app=0, domain=0)])
    (row,) = unpacked(rows.flow_image(batch, START, 7, [0, 70], [0, 80], NOW))
    assert (named(rows.IMAGE, row)["app_id"], named(rows.IMAGE, row)["domain_id"]) == (0, 0)


def test_a_tally_keeps_its_sign() -> None:
    (row,) = rows.tally_rows(make_batch(tally=[make_tally_row(bytes_in=-5)]), START, 7)
    assert named(tables.TALLY, row)["bytes_in"] == -5
    assert named(tables.TALLY, row)["interface"] == "eth0"


def coverage(part: int, parts: int) -> Coverage:
    return Coverage(mode=int(Mode.PACKETS), measured_ms=4_000, part=part, parts=parts)


def test_an_interval_in_parts_is_covered_once() -> None:
    parts = [make_batch(coverage=coverage(part, 3)) for part in range(3)]
    made = [row for batch in parts for row in rows.coverage_rows(batch, START, 7)]
    assert [named(tables.COVERAGE, row)["measured_ms"] for row in made] == [4_000]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (START, Placement(START, None)),
        (NOW, Placement(NOW, None)),
        (NOW + 5_000, Placement(NOW, FUTURE)),
        (NOW + 300 * DAY, Placement(NOW, FUTURE)),
        (NOW - 6 * DAY, Placement(NOW - 6 * DAY, None)),
        (NOW - 6 * DAY - 5_000, Placement(NOW - 6 * DAY - 5_000, TOO_OLD)),
        (0, Placement(0, TOO_OLD)),
    ],
    ids=["an hour ago", "now", "next interval", "next year", "just kept", "just too old", "1970"],
)
def test_where_a_batch_goes(start: int, expected: Placement) -> None:
    assert place(start, 5, NOW, NOW - 6 * DAY) == expected


def test_from_the_future_it_goes_to_the_current_interval() -> None:
    assert place(NOW + DAY, 60, NOW + 59_999, 0).start == NOW


def test_only_the_last_part_ends_an_interval() -> None:
    placed = Placement(START, None)
    assert rows.interval_end(make_batch(coverage=coverage(1, 3)), placed) is None
    assert rows.interval_end(make_batch(coverage=coverage(2, 3)), placed) == START + 5_000


def test_an_interval_that_was_cut_short_is_complete_up_to_the_cut() -> None:
    cut = Coverage(mode=2, measured_ms=1_900, cut_ms=2_000)
    assert rows.interval_end(make_batch(coverage=cut), Placement(START, None)) == START + 2_000


def test_refused_bytes_are_counted_both_ways() -> None:
    assert rows.total_bytes(make_batch([make_flow_record(bytes_in=5, bytes_out=6)] * 2)) == 22
