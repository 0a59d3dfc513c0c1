"""The shipped objects: read as they are, and the same as the sources make."""

from __future__ import annotations

import shutil
import struct
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from netally.capture.ebpf.object_file import ObjectError, ObjectFile, read_object

ROOT = Path(__file__).resolve().parents[4]
SOURCES = ROOT / "services/capture/src/netally/capture/ebpf"
NAMES = ("sockets", "interfaces")


def shipped(name: str) -> bytes:
    return files("netally.capture.ebpf").joinpath(f"{name}.bpf.o").read_bytes()


def test_programs_and_maps_of_the_shipped_objects() -> None:
    sockets = read_object(shipped("sockets"))
    assert {program.section for program in sockets.programs} == {
        "cgroup/sock_create",
        "cgroup_skb/egress",
        "cgroup_skb/ingress",
    }
    assert sockets.maps["flows"].entries == 65_536
    assert set(read_object(shipped("interfaces")).maps) == {"passing", "own"}


def test_maps_come_into_the_places_that_name_them() -> None:
    sockets = read_object(shipped("sockets"))
    numbers = {name: 100 + number for number, name in enumerate(sockets.maps)}
    for program in sockets.programs:
        linked = program.linked(numbers)
        for index, name in program.maps.items():
            code, registers, _, value = struct.unpack_from("<BBhi", linked, index * 8)
            # A wide load whose source says that the value is a map's descriptor.
            assert (code, registers >> 4, value) == (0x18, 1, numbers[name])
        changed = [at for at in range(0, len(linked), 8) if linked[at : at + 8] != program.instructions[at : at + 8]]
        assert changed == [index * 8 for index in sorted(program.maps)]


@pytest.mark.parametrize("kept", [0, 10, 63, 200, 1000, 5000, 9000])
def test_half_an_object_is_refused(kept: int) -> None:
    with pytest.raises(ObjectError):
        read_object(shipped("sockets")[:kept])


@pytest.mark.parametrize("name", NAMES)
def test_the_sources_make_the_same_instructions_and_relocations(name: str, tmp_path: Path) -> None:
    """With the compiler that `make bpf` names; what else an object holds (its own version and paths) may differ."""
    compiler = shutil.which("clang-14")
    assert compiler, "clang-14 is missing: `apt-get install clang-14` (`make test` does it as root)"
    flags = subprocess.run(
        ["make", "--silent", "--no-print-directory", "--eval", "flags: ; @echo $(BPF_FLAGS)", "flags"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    rebuilt = tmp_path / "rebuilt.o"
    subprocess.run([compiler, *flags, "-c", SOURCES / f"{name}.bpf.c", "-o", rebuilt], check=True)
    assert comparable(read_object(rebuilt.read_bytes())) == comparable(read_object(shipped(name)))


def comparable(found: ObjectFile) -> object:
    return found.maps, sorted(found.programs), found.licence
