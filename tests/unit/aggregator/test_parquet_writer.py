from __future__ import annotations

import io

import pyarrow.parquet

from netally.aggregator.parquet_writer import convert

KINDS = {"time": "time", "app": "text", "bytes": "number"}
ROWS = b'2026-11-22T00:00:00Z,"a, ""b""\nc",1\n2026-11-22T00:00:05Z,"",\n'


def converted(rows: bytes) -> bytes:
    target = io.BytesIO()
    convert(io.BytesIO(rows), target, KINDS)
    return target.getvalue()


def test_rows_keep_their_kinds_and_nulls() -> None:
    table = pyarrow.parquet.read_table(io.BytesIO(converted(ROWS)))
    assert table.column("app").to_pylist() == ['a, "b"\nc', ""]
    assert table.column("bytes").to_pylist() == [1, None]
    assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]"


def test_no_rows_are_a_file_too() -> None:
    table = pyarrow.parquet.read_table(io.BytesIO(converted(b"")))
    assert (table.num_rows, table.column_names) == (0, list(KINDS))


def test_the_same_rows_give_the_same_bytes() -> None:
    many = ROWS * 20_000
    assert converted(many) == converted(many)
