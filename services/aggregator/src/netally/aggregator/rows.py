"""Batch to rows, one function a table of `netally.store.tables`. Pure. Times are epoch milliseconds."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import starmap
from typing import NamedTuple

import numpy as np
from msgspec.structs import astuple

from netally.contracts.flow import FlowRecord, FlowsObserved
from netally.store.database import binary_time
from netally.store.tables import FLOW, Row

TOO_OLD = "too_old"
FUTURE = "future"

_IDS = {"app": "app_id", "domain": "domain_id", "site": "site_id"}
_CODES = dict.fromkeys(("app", "domain", "site", "server_port", "connections"), "i")
_CODES |= dict.fromkeys(("scope", "protocol", "role", "domain_source", "process_source"), "h")
_CODES |= dict.fromkeys(("bytes_in", "bytes_out", "packets_in", "packets_out", "retrans"), "q")
"""Field of a record to struct's code for the type of its column; the address has none."""
IMAGE = FLOW._replace(
    columns=("time", "host_id", "received_at", *(_IDS.get(name, name) for name in FlowRecord.__struct_fields__))
)
"""`flow` with its columns in the order of `flow_image`: a record's fields stay in their own order."""
_HEAD = struct.Struct("!hiqiiiq")
_INET = {4: b"\0\0\0\x08\x02\x20\0\x04", 16: b"\0\0\0\x14\x03\x80\0\x10"}
"""Length, family, prefix length, "is no cidr" and length of an address."""


class _Shape(NamedTuple):
    """How rows look whose addresses have one length and whose ``retrans`` are all known or all null."""

    pack: Callable[..., bytes]
    """A record's fields to its row, with zeros for what is the same in all rows."""
    same: bytes
    """What is the same, but for the head, with zeros for the fields."""
    ids: tuple[int, int, int]
    """Where the indexes of app, domain and site are."""


def _shape(address: int, retrans: bool) -> _Shape:
    formats, same, places = f"!{_HEAD.size}x", b"", {}
    for name in FlowRecord.__struct_fields__:
        if name == "remote":
            formats += f" 8x{address}s"
            same += _INET[address] + bytes(address)
        elif name == "retrans" and not retrans:
            # None packs as false, a zero; the length of null is -1.
            formats += " 3x?"
            same += struct.pack("!i", -1)
        else:
            size = struct.calcsize(f"!{_CODES[name]}")
            places[name] = _HEAD.size + len(same) + 4
            formats += f" 4x{_CODES[name]}"
            same += struct.pack("!i", size) + bytes(size)
    return _Shape(struct.Struct(formats).pack, same, (places["app"], places["domain"], places["site"]))


_SHAPES = {(address, retrans): _shape(address, retrans) for address in (4, 16) for retrans in (True, False)}


class Placement(NamedTuple):
    """Where in time a batch goes."""

    start: int
    """Start of the interval its rows get."""
    reason: str | None
    """`TOO_OLD`: the rows are refused; `FUTURE`: they were moved to the current interval; None: as it said."""


def place(start: int, interval: int, now: int, oldest: int) -> Placement:
    """Placement of a batch that says ``start`` and lasts ``interval`` seconds.

    Later than now is the current interval: a row from the future would move the rollups' watermark ahead and hide what
    comes until then. Before ``oldest`` is refused: raw rows of that time may be gone already, and a recomputation of
    their bucket would replace it by the late rows alone.
    """
    if start > now:
        length = interval * 1000
        return Placement(now // length * length, FUTURE)
    return Placement(start, TOO_OLD if start < oldest else None)


def interval_end(batch: FlowsObserved, placed: Placement) -> int | None:
    """End of the batch's interval when the batch is the last part of it, else None."""
    coverage = batch.coverage
    length = coverage.cut_ms or batch.interval * 1000
    return placed.start + length if coverage.part == coverage.parts - 1 else None


def flow_image(
    batch: FlowsObserved, start: int, host_id: int, app_ids: Sequence[int], domain_ids: Sequence[int], received_at: int
) -> bytes:
    """Rows of the batch's records, as `tables.copy_image` takes them. Ids are in the order of the batch's tables.

    Rows of one shape stand together. struct packs the records as they are; what is the same in all rows (lengths,
    times, host) and the ids are put in for all rows at once. From tuples and by asyncpg a flow cost four times as much.
    """
    head = _HEAD.pack(len(IMAGE.columns), 8, binary_time(start), 4, host_id, 8, binary_time(received_at))
    apps, domains = np.array(app_ids, ">i4"), np.array(domain_ids, ">i4")
    images = []
    for shape, records in _by_shape(batch.records):
        same = np.frombuffer(head + shape.same, np.uint8)
        packed = np.frombuffer(b"".join(starmap(shape.pack, map(astuple, records))), np.uint8)
        image = packed.reshape(-1, len(same)) | same
        for place, ids in zip(shape.ids, (apps, domains, domains), strict=True):
            indexes = np.ndarray(len(records), ">i4", image.data, place, len(same))
            indexes[:] = ids[indexes]
        images.append(image.tobytes())
    return b"".join(images)


def _by_shape(records: Sequence[FlowRecord]) -> Iterator[tuple[_Shape, Sequence[FlowRecord]]]:
    for address in (4, 16):
        of_length = [record for record in records if len(record.remote) == address]
        known = [record for record in of_length if record.retrans is not None]
        unknown = of_length if not known else [record for record in of_length if record.retrans is None]
        if known:
            yield _SHAPES[address, True], known
        if unknown:
            yield _SHAPES[address, False], unknown


def tally_rows(batch: FlowsObserved, start: int, host_id: int) -> list[Row]:
    return [
        (start, host_id, row.interface, row.cause, row.bytes_in, row.bytes_out, row.packets_in, row.packets_out)
        for row in batch.tally
    ]


def coverage_rows(batch: FlowsObserved, start: int, host_id: int) -> list[Row]:
    """One row an interval: only its last part gives one, so that what came in part does not count as measured."""
    coverage = batch.coverage
    if coverage.part != coverage.parts - 1:
        return []
    return [(start, host_id, batch.interval, coverage.measured_ms, coverage.mode, coverage.paused)]


def total_bytes(batch: FlowsObserved) -> int:
    """L3 bytes of all records, for the count of what was refused."""
    return sum(record.bytes_in + record.bytes_out for record in batch.records)
