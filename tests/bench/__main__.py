"""``make bench``: every ``measure()`` of this folder, a table for people, JSON lines for programs (``BENCH_OUT``).

Names of modules as arguments run only those: ``python -m tests.bench ingest``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
KEYS = ("name", "value", "unit", "against", "ratio")


def benches() -> list[str]:
    """Names of the modules that measure something."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py") if "async def measure(" in path.read_text("utf-8"))


def run(name: str) -> list[dict[str, Any]]:
    """Lines of one module; every one has `KEYS`."""
    lines: list[dict[str, Any]] = asyncio.run(importlib.import_module(f"tests.bench.{name}").measure())
    for line in lines:
        if missing := [key for key in KEYS if key not in line]:
            raise ValueError(f"{name} leaves out {', '.join(missing)}: {line}")
    return lines


def table(lines: Iterable[dict[str, Any]]) -> str:
    rows = [("", "value", "unit", "ratio", "against")]
    for line in lines:
        value = f"{line['value']:,}" if isinstance(line["value"], int | float) else line["value"] or "not measured"
        rows.append((line["name"], value, line["unit"], str(line["ratio"] or ""), line["against"] or ""))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}} {row[2]:<{widths[2]}}  {row[3]:>{widths[3]}}  {row[4]}".rstrip()
        for row in rows
    )


def main(wanted: list[str]) -> int:
    """Exit status: 0 when every bench ran. Results are written as they come, so that a failure loses none."""
    known = benches()
    if unknown := [name for name in wanted if name not in known]:
        print(f"no such bench: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    out = os.environ.get("BENCH_OUT")
    if out:
        Path(out).write_text("")
    lines: list[dict[str, Any]] = []
    failed = []
    for name in wanted or known:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        try:
            measured = run(name)
        except Exception:  # noqa: BLE001  (the others are still worth measuring)
            traceback.print_exc()
            failed.append(name)
            continue
        lines += measured
        if out:
            with Path(out).open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in measured)
    print(table(lines))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
