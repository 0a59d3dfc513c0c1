"""What is given up is gone, for the process and its files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from netally.capture.privileges import BPF, DAC_READ_SEARCH, NET_ADMIN, NET_RAW, SYS_ADMIN, SYS_PTRACE, held
from netally.contracts.codes import Mode

PROGRAM = """
import json, os, socket, sys
from pathlib import Path
from netally.capture.privileges import give_up
from netally.contracts.codes import Mode
own = Path(sys.argv[2])
give_up(Mode(int(sys.argv[1])), own)

def tried(act):
    try:
        act()
    except OSError as error:
        return error.strerror
    return "done"

status = dict(line.split(":\\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\\t" in line)
print(json.dumps({
    "permitted": int(status["CapPrm"], 16),
    "effective": int(status["CapEff"], 16),
    "bounding": int(status["CapBnd"], 16),
    "no_new": status["NoNewPrivs"].strip(),
    "own": tried(lambda: (own / "file").write_text("x")),
    "other": tried(lambda: Path(sys.argv[3]).write_text("x")),
    "remove": tried(lambda: Path(sys.argv[3]).unlink(missing_ok=True)),
    "packets": tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()),
}))
"""


def after(mode: Mode, tmp_path: Path) -> dict[str, Any]:
    own = tmp_path / "own"
    own.mkdir()
    other = tmp_path / "other"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(int(mode)), str(own), str(other)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def bits(*capabilities: int) -> int:
    return sum(1 << number for number in capabilities)


@pytest.mark.root
@pytest.mark.parametrize(
    ("mode", "kept"),
    [
        (Mode.EBPF, bits(DAC_READ_SEARCH, NET_ADMIN, NET_RAW, SYS_PTRACE, BPF)),
        (Mode.PACKETS, bits(DAC_READ_SEARCH, NET_ADMIN, NET_RAW, SYS_PTRACE, SYS_ADMIN)),
        (Mode.UNPRIVILEGED, 0),
    ],
)
def test_only_what_the_mode_needs_is_left(mode: Mode, kept: int, tmp_path: Path) -> None:
    found = after(mode, tmp_path)
    assert found["permitted"] == found["effective"] == found["bounding"] == kept & held()
    assert found["no_new"] == "1"
    assert found["packets"] == ("done" if kept else "Operation not permitted")


@pytest.mark.root
def test_files_of_others_cannot_be_changed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("before")
    os.chown(tmp_path, 65534, 65534)
    os.chown(other, 65534, 65534)
    found = after(Mode.EBPF, tmp_path)
    assert found["own"] == "done"
    assert (found["other"], found["remove"]) == ("Permission denied", "Permission denied")
