"""Encoding and bounded decoding of what crosses the bus."""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import Final, TypeVar

import msgspec
import zstandard

from netally.contracts.flow import BATCH_VERSION, INTERVALS, FlowsObserved

ENCODING_HEADER: Final = "Content-Encoding"
ZSTD: Final = "zstd"
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""Most bytes a batch may inflate to. Checked against the frame header *before* inflating."""
MAX_JSON_BYTES: Final = 256 * 1024

T = TypeVar("T")

_batch_encoder = msgspec.msgpack.Encoder()
_batch_decoder = msgspec.msgpack.Decoder(FlowsObserved)
_compressor = zstandard.ZstdCompressor(level=1, write_content_size=True)
_decompressor = zstandard.ZstdDecompressor()
_json_encoder = msgspec.json.Encoder()

_app_of, _domain_of, _site_of, _remote_of = (attrgetter(name) for name in ("app", "domain", "site", "remote"))
_parts = attrgetter("name", "executable", "user", "unit", "container")


_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for broken input: besides its own errors, for bad UTF-8 and for nesting without end."""


class UndecodableError(ValueError):
    """The bytes are not what the subject promises. The message says why, in words fit for a dead letter."""


def encode_batch(batch: FlowsObserved) -> bytes:
    """MessagePack in one zstd frame that states its size."""
    return _compressor.compress(_batch_encoder.encode(batch))


def decode_batch(data: bytes) -> FlowsObserved:
    """Batch of a message body.

    Raises UndecodableError for anything else: a frame of unknown or excessive size, broken MessagePack, a version
    from the future with changed fields, an index that points nowhere.
    """
    # `max_output_size` alone does not bound the output (a 6 kB frame inflated to 200 MB), hence the header check.
    try:
        size = zstandard.frame_content_size(data)
    except zstandard.ZstdError as error:
        raise UndecodableError(f"not a zstd frame: {error}") from None
    if size < 0:
        raise UndecodableError("the zstd frame does not state its size")
    if size > MAX_BATCH_BYTES:
        raise UndecodableError(f"inflates to {size} bytes, more than the {MAX_BATCH_BYTES} allowed")
    try:
        raw = _decompressor.decompress(data, max_output_size=MAX_BATCH_BYTES)
        batch = _batch_decoder.decode(raw)
    except (zstandard.ZstdError, *_BROKEN) as error:
        raise UndecodableError(str(error)) from None
    _check_batch(batch)
    return batch


def _check_batch(batch: FlowsObserved) -> None:
    if batch.version != BATCH_VERSION:
        raise UndecodableError(f"batch version {batch.version}, this reader knows {BATCH_VERSION}")
    if not batch.host or len(batch.host) > 255 or "\0" in batch.host:
        raise UndecodableError("host name is empty, too long or holds a NUL")
    if len(batch.epoch) != 32 or not batch.epoch.isalnum():
        raise UndecodableError("epoch is not 32 hexadecimal digits")
    if not 0 < batch.sequence < 2**62:
        raise UndecodableError(f"sequence {batch.sequence} is out of range")
    if batch.interval not in INTERVALS:
        raise UndecodableError(f"interval of {batch.interval} s is none of {INTERVALS}")
    if batch.start % (batch.interval * 1000) or not 0 <= batch.start < 2**53:
        raise UndecodableError(f"interval start {batch.start} is no multiple of {batch.interval} s")
    apps, domains = len(batch.apps), len(batch.domains)
    if not apps or not domains:
        raise UndecodableError("the tables lack entry 0")
    coverage = batch.coverage
    if coverage.part >= coverage.parts:
        raise UndecodableError(f"part {coverage.part} of {coverage.parts}")
    if "\0" in "".join(batch.domains) or "\0" in "".join(chain.from_iterable(map(_parts, batch.apps))):
        raise UndecodableError("a name holds a NUL")
    if any("\0" in row.interface for row in batch.tally):
        raise UndecodableError("an interface name holds a NUL")
    # Over columns rather than rows: this runs for every flow of every host.
    records = batch.records
    if records and (
        max(map(_app_of, records)) >= apps or max(max(map(_domain_of, records)), max(map(_site_of, records))) >= domains
    ):
        raise UndecodableError("a record points outside the tables of its batch")
    if strange := set(map(len, map(_remote_of, records))) - {4, 16}:
        raise UndecodableError(f"an address of {min(strange)} bytes")


def encode_json(value: object) -> bytes:
    """JSON of a Struct: for statuses, commands and outcomes, which people read with `nats sub`."""
    return _json_encoder.encode(value)


def decode_json(data: bytes, kind: type[T]) -> T:
    """Struct of a JSON body; UndecodableError when it is none or larger than `MAX_JSON_BYTES`."""
    if len(data) > MAX_JSON_BYTES:
        raise UndecodableError(f"{len(data)} bytes of JSON, more than the {MAX_JSON_BYTES} allowed")
    try:
        return msgspec.json.decode(data, type=kind)
    except _BROKEN as error:
        raise UndecodableError(str(error)) from None
