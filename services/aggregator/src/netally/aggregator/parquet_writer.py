"""A process of its own: CSV on stdin, Parquet on stdout. ``python -m netally.aggregator.parquet_writer '<columns>'``

pyarrow takes 100 MB and three seconds to load, so the aggregator never does. Rows are converted block by block; the
same CSV gives the same bytes with the same pyarrow.
"""

from __future__ import annotations

import json
import sys
from typing import IO, Any

BLOCK = 1024**2
BLOCKS_A_GROUP = 8
"""Row groups of about 8 MB of CSV: large enough to compress well, small enough for memory."""


class _Counting:
    """A pipe cannot tell its position, and Parquet's footer needs it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._position = 0
        self.closed = False

    def write(self, data: Any) -> int:
        written = self._file.write(data)
        self._position += written
        return written

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        self._file.flush()

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def convert(source: IO[bytes], target: IO[bytes], kinds: dict[str, str]) -> int:
    """Rows converted. ``kinds`` are the columns in order: ``text``, ``number`` or ``time``."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv
    import pyarrow.parquet as parquet

    types = {"text": pa.string(), "number": pa.int64(), "time": pa.timestamp("ms", tz="UTC")}
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
    # Memory is given back after each group rather than kept for later.
    pa.set_memory_pool(pa.system_memory_pool())
    rows = 0
    with parquet.ParquetWriter(pa.PythonFile(_Counting(target), mode="w"), schema, compression="zstd") as writer:
        group: list[Any] = []
        first = source.read(1)
        if first:
            reader = arrow_csv.open_csv(
                _Rest(first, source),
                read_options=arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=list(kinds)),
                # A quoted cell may hold a line break.
                parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
                ),
            )
            for batch in reader:
                rows += batch.num_rows
                group.append(batch)
                if len(group) == BLOCKS_A_GROUP:
                    writer.write_table(pa.Table.from_batches(group, schema))
                    group = []
        if group:
            writer.write_table(pa.Table.from_batches(group, schema))
    target.flush()
    return rows


class _Rest:
    """A stream whose first byte has been read; pyarrow refuses an empty one, which is a fine export."""

    def __init__(self, first: bytes, source: IO[bytes]) -> None:
        self._first = first
        self._source = source
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        first, self._first = self._first, b""
        return first + self._source.read(size - len(first) if size >= 0 else -1)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def is_available() -> bool:
    """Whether pyarrow is installed; it is not loaded."""
    import importlib.util

    return importlib.util.find_spec("pyarrow") is not None


if __name__ == "__main__":
    convert(sys.stdin.buffer, sys.stdout.buffer, json.loads(sys.argv[1]))
