"""Programs on the machine: attached, gone with their process, or refused with the reason."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from netally.capture.capture_mode import find_mode
from netally.capture.ebpf import bpf_calls
from netally.capture.ebpf.flow_counters import KEY, VALUE
from netally.capture.ebpf.kernel_programs import (
    InterfacePrograms,
    NotHereError,
    SocketPrograms,
    cgroup_root,
    problem,
    storage_types,
)
from netally.contracts.codes import Mode
from tests.namespaces import linked_namespaces
from tests.services import wait_until

LINE = "41 31 0:38 / /sys/fs/cgroup\\040two rw,relatime shared:9 - cgroup2 cgroup2 rw\n"


def test_what_refuses_is_said_and_the_next_mode_taken() -> None:
    refused = problem()
    found = find_mode()
    if not refused:
        assert found.mode == Mode.EBPF
        SocketPrograms().close()
        return
    assert found.mode in (Mode.PACKETS, Mode.UNPRIVILEGED)
    if found.mode == Mode.PACKETS:
        assert refused in found.reason
    with pytest.raises(NotHereError, match=r"."):
        SocketPrograms()


def test_without_capabilities_the_reason_names_them() -> None:
    program = (
        "import os\n"
        "from netally.capture.ebpf.kernel_programs import problem\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(problem())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "CAP_BPF" in done.stdout


def test_the_root_of_control_groups_is_found_in_the_list_of_mounts(tmp_path: Path) -> None:
    root = tmp_path / "two groups"
    root.mkdir()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "25 1 0:5 / /proc rw - proc proc rw\n" + LINE.replace("/sys/fs/cgroup\\040two", str(root).replace(" ", "\\040"))
    )
    assert cgroup_root(mounts) == ""
    (root / "cgroup.procs").touch()
    assert cgroup_root(mounts) == str(root)
    # A part of the groups, bound somewhere, is not the root.
    mounts.write_text(mounts.read_text().replace(" / ", " /some/part "))
    assert cgroup_root(mounts) == ""
    assert cgroup_root(tmp_path / "nothing") == ""


def test_programs_are_attached_where_ip_netns_hides_the_mount() -> None:
    # It shows the program a /sys of its own, without the machine's control groups.
    program = (
        "from pathlib import Path\n"
        "from netally.capture.ebpf.kernel_programs import cgroup_root, problem\n"
        "print(repr(cgroup_root(Path('/proc/self/mountinfo'))), repr(problem()))\n"
    )
    with linked_namespaces() as (inside, _):
        assert inside.run(sys.executable, "-c", program).split(maxsplit=1) == ["''", f"{problem()!r}\n"]


def test_types_of_socket_storage_are_what_their_header_says() -> None:
    blob = storage_types(32)
    magic, _, _, header, types_at, types, texts_at, texts = struct.unpack_from("<HBBIIIII", blob)
    assert (magic, len(blob)) == (0xEB9F, header + types + texts)
    assert (types_at, texts_at) == (0, types)


@pytest.mark.root
def test_sockets_are_counted_with_their_process_in_both_directions() -> None:
    if problem():
        assert find_mode().mode != Mode.EBPF
        return
    programs = SocketPrograms()
    try:
        reader = bpf_calls.BatchReader(programs.maps["flows"], KEY, VALUE)
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)) as client:
                accepted, _ = server.accept()
                with accepted:
                    client.sendall(bytes(1000))
                    assert len(accepted.recv(1000, socket.MSG_WAITALL)) == 1000
                    local = client.getsockname()[1]
        keys, values = reader.read()
        (client_row,) = np.flatnonzero((keys["local_port"] == local) & (keys["remote_port"] == port))
        (server_row,) = np.flatnonzero((keys["local_port"] == port) & (keys["remote_port"] == local))
        assert keys["pid"][client_row] == keys["pid"][server_row] == os.getpid()
        assert keys["namespace"][client_row] == programs.namespace
        client_amounts, server_amounts = values["amounts"][client_row], values["amounts"][server_row]
        # What one sends the other receives, but for the handshake's ends that only one socket sees.
        assert client_amounts[1] == 1000 + 52 * client_amounts[3] + 8
        assert server_amounts[0] >= 1000 + 52
    finally:
        programs.close()


@pytest.mark.root
def test_programs_of_others_stay_beside_ours() -> None:
    if problem():
        assert find_mode().mode != Mode.EBPF
        return
    programs = [SocketPrograms(), SocketPrograms()]
    try:
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.bind(("127.0.0.1", 0))
            for _ in range(10):
                sender.sendto(bytes(72), ("127.0.0.1", 9))
            port = sender.getsockname()[1]
        for each in programs:
            keys, values = bpf_calls.BatchReader(each.maps["flows"], KEY, VALUE).read()
            (row,) = np.flatnonzero((keys["local_port"] == port) & (keys["pid"] == os.getpid()))
            assert values["amounts"][row].tolist()[1::2] == [1000, 10]
    finally:
        for each in programs:
            each.close()


@pytest.mark.root
def test_a_killed_process_takes_its_programs_along() -> None:
    if problem():
        assert find_mode().mode != Mode.EBPF
        return
    program = (
        "import sys, time\n"
        "from netally.capture.ebpf.kernel_programs import InterfacePrograms, SocketPrograms\n"
        "sockets, interfaces = SocketPrograms(), InterfacePrograms()\n"
        "watch = interfaces.watch('lo', ethernet=True, loopback=True)\n"
        "print(*sockets.program_ids, flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    numbers = [int(word) for word in process.stdout.readline().split()]
    assert len(numbers) == 3
    assert all(bpf_calls.program_exists(number) for number in numbers)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdin.close()
    process.stdout.close()
    wait_until(lambda: not any(bpf_calls.program_exists(number) for number in numbers))


@pytest.mark.root
def test_what_passes_an_interface_is_summed_up_and_nothing_taken() -> None:
    if problem():
        assert find_mode().mode != Mode.EBPF
        return
    programs = InterfacePrograms()
    try:
        programs.own_addresses([bytes((127, 0, 0, 1))])
        with programs.watch("lo", ethernet=True, loopback=True) as watch:
            with socket.socket(type=socket.SOCK_DGRAM) as sender:
                for _ in range(10):
                    sender.sendto(bytes(72), ("127.0.0.1", 9))
            key = np.dtype([("interface", "<u4"), ("kind", "<u2"), ("outgoing", "<u2")])
            value = np.dtype([("sums", "<u8", 4)])
            keys, values = bpf_calls.BatchReader(programs.maps["passing"], key, value).read()
            (own,) = np.flatnonzero(keys["kind"] == 2)
            frames, frame_bytes, packets, bytes_ = values["sums"][own].tolist()
            # Ten datagrams of 100 bytes, ten answers that nobody listens (128 bytes), and whatever else passed.
            assert frames == packets >= 20
            assert bytes_ >= 10 * 100 + 10 * 128
            assert frame_bytes == bytes_ + 14 * frames
            watch.setblocking(False)
            with pytest.raises(BlockingIOError):
                watch.recv(100)
        programs.own_addresses([])
    finally:
        programs.close()
