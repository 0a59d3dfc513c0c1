"""The objects loaded and attached: programs at the root of all control groups, and one on each captured interface.

Everything hangs on descriptors of this process: the kernel takes it off when they are closed, by SIGKILL as well.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Final

from netally.capture.ebpf import bpf_calls
from netally.capture.ebpf.namespace_links import namespace_cookie
from netally.capture.ebpf.object_file import ObjectFile, read_object

_SOCKET_FILTER, _CGROUP_SKB, _CGROUP_SOCK = 1, 8, 9
_CGROUP: Final = {
    # section: kind of program, where it is attached
    "cgroup_skb/ingress": (_CGROUP_SKB, 0),
    "cgroup_skb/egress": (_CGROUP_SKB, 1),
    "cgroup/sock_create": (_CGROUP_SOCK, 2),
}
_SK_STORAGE: Final = 24
_SO_ATTACH_BPF: Final = 50
# call bpf_get_netns_cookie; r0 = 0.
_CALL_NAMESPACE: Final = struct.pack("<BBhi", 0x85, 0, 0, 122)
_NO_NAMESPACE: Final = struct.pack("<BBhi", 0xB7, 0, 0, 0)
_SOL_PACKET: Final = 263
_PACKET_IGNORE_OUTGOING: Final = 23
_ETH_P_ALL: Final = 0x0003
# The first namespaces of their kinds (linux/proc_ns.h).
_FIRST_PIDS: Final = 0xEFFFFFFC
_FIRST_CGROUPS: Final = 0xEFFFFFFB


class NotHereError(Exception):
    """Programs cannot be used on this machine; the message says why, in plain words."""


class SocketPrograms:
    """Programs that own and count sockets, from here on in every network namespace. Raises `NotHereError`."""

    def __init__(self, root: str = "") -> None:
        """``root`` is the directory of the control group to attach to; empty for that of all."""
        self._open: list[int] = []
        self.namespace = _own_namespace()
        """Cookie of this network namespace."""
        if Path("/proc/self/ns/pid").stat().st_ino != _FIRST_PIDS:
            raise NotHereError("the agent runs in a process namespace of its own, where process ids mean others")
        cgroup = _open_root(root)
        try:
            found = _read("sockets")
            self.maps, programs = _load(found, _CGROUP, self._open)
            for section, (_, attach) in _CGROUP.items():
                self._open.append(bpf_calls.attach_to_cgroup(programs[section], cgroup, attach))
        except OSError as error:
            self.close()
            raise NotHereError(_in_words(error)) from None
        finally:
            os.close(cgroup)
        self.program_ids = [bpf_calls.program_number(programs[section]) for section in _CGROUP]
        """By which the kernel lists them."""
        self.flow_entries = found.maps["flows"].entries

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())


class InterfacePrograms:
    """Programs that sum up what passes interfaces, and the addresses they take for this machine's. Raises
    `NotHereError`.
    """

    def __init__(self) -> None:
        self._open: list[int] = []
        try:
            self.maps, self._programs = _load(
                _read("interfaces"),
                {"socket/ethernet": (_SOCKET_FILTER, 0), "socket/ip": (_SOCKET_FILTER, 0)},
                self._open,
            )
        except OSError as error:
            self.close()
            raise NotHereError(_in_words(error)) from None
        self._own: set[bytes] = set()

    def watch(self, interface: str, *, ethernet: bool, loopback: bool) -> socket.socket:
        """A packet socket that lets the program see every packet and takes none; closing it ends that. OSError as
        packet(7). On loopback each packet is seen once.
        """
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            if loopback:
                sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            sock.setsockopt(
                socket.SOL_SOCKET, _SO_ATTACH_BPF, self._programs["socket/ethernet" if ethernet else "socket/ip"]
            )
            sock.bind((interface, _ETH_P_ALL))
        except BaseException:
            sock.close()
            raise
        return sock

    def own_addresses(self, addresses: Collection[bytes]) -> None:
        """Tell the program which addresses are this machine's."""
        wanted = {address.ljust(16, b"\0") for address in addresses}
        for address in wanted - self._own:
            bpf_calls.update(self.maps["own"], address, b"\1")
        for address in self._own - wanted:
            bpf_calls.delete(self.maps["own"], address)
        self._own = wanted

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())


def problem() -> str:
    """Why programs cannot be used here, found by trying; empty when they can."""
    try:
        SocketPrograms().close()
        InterfacePrograms().close()
    except NotHereError as error:
        return str(error)
    return ""


def _read(name: str) -> ObjectFile:
    return read_object(Path(__file__).with_name(f"{name}.bpf.o").read_bytes())


def _load(
    found: ObjectFile, sections: dict[str, tuple[int, int]], opened: list[int]
) -> tuple[dict[str, int], dict[str, int]]:
    """Descriptors of maps by name and of programs by section; all of them are in ``opened`` as well."""
    maps: dict[str, int] = {}
    for name, wanted in found.maps.items():
        types = (0, 0, 0)
        if wanted.kind == _SK_STORAGE:
            opened.append(bpf_calls.load_types(storage_types(wanted.value_bytes)))
            types = (opened[-1], 1, 2)
        maps[name] = bpf_calls.create_map(
            name, wanted.kind, wanted.key_bytes, wanted.value_bytes, wanted.entries, wanted.flags, types
        )
        opened.append(maps[name])
    programs: dict[str, int] = {}
    for program in found.programs:
        kind, attach = sections[program.section]
        code = program.linked(maps)
        try:
            descriptor = bpf_calls.load_program(program.name, kind, attach, code, found.licence)
        except bpf_calls.VerifierError:
            # Before Linux 6.15 a packet's program cannot ask for the namespace: sockets of which nothing is known then
            # have none, and their addresses have to tell.
            older = code.replace(_CALL_NAMESPACE, _NO_NAMESPACE)
            descriptor = bpf_calls.load_program(program.name, kind, attach, older, found.licence)
        programs[program.section] = descriptor
        opened.append(programs[program.section])
    return maps, programs


def storage_types(value_bytes: int) -> bytes:
    """Type information that the kernel wants for socket storage: an int as key, something of that size as value
    (Documentation/bpf/btf.rst).
    """
    integer = struct.pack("<IIII", 0, 1 << 24, 4, 1 << 24 | 32)
    structure = struct.pack("<III", 0, 4 << 24, value_bytes)
    types, texts = integer + structure, b"\0"
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(texts)) + types + texts


def _own_namespace() -> int:
    try:
        return namespace_cookie()
    except OSError:
        raise NotHereError("this kernel is too old: it does not number network namespaces (Linux 5.14)") from None


def _open_root(root: str) -> int:
    if not root:
        if Path("/proc/self/ns/cgroup").stat().st_ino != _FIRST_CGROUPS:
            raise NotHereError("the agent runs in a container, which shows it a part of the control groups only")
        root = cgroup_root(Path("/proc/self/mountinfo"))
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if root else bpf_calls.mount_cgroups()
    except OSError as error:
        raise NotHereError(f"the control groups (v2) {root or 'of this machine'} cannot be opened: {error}") from None


def cgroup_root(mounts: Path) -> str:
    """Directory of all control groups (v2) by a mountinfo file (proc(5)); empty where none is mounted."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 ") and fields.split()[3] == "/":
            # Spaces are written as octal numbers.
            path = fields.split()[4].replace("\\040", " ")
            if os.path.isfile(f"{path}/cgroup.procs"):  # noqa: PTH113
                return path
    return ""


def _in_words(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return "the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are missing, or the kernel is locked down"
    if isinstance(error, bpf_calls.VerifierError):
        return error.strerror or str(error)
    if error.errno in (errno.EINVAL, errno.ENOSYS):
        return f"this kernel cannot run the programs ({error.strerror}); they need Linux 5.14 with CONFIG_CGROUP_BPF"
    return f"the kernel does not take the programs: {error.strerror}"
