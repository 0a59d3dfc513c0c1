"""What the kernel tells of programs that open sockets."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from netally.capture.capture_mode import find_mode
from netally.capture.ebpf.kernel_programs import SocketPrograms, problem
from netally.capture.ebpf.program_news import NewsReader, ProgramNews, command_text
from netally.capture.ebpf.source import NEWS_BYTES
from netally.contracts.codes import Mode
from tests.services import wait_until


def test_a_command_ends_at_its_zero() -> None:
    assert command_text(b"curl\0old\0\0") == "curl"
    assert command_text("grün".encode() + b"\xff") == "grün\N{REPLACEMENT CHARACTER}"


@pytest.mark.root
def test_a_program_that_opens_sockets_is_told_once() -> None:
    if problem():
        assert find_mode().mode != Mode.EBPF
        return
    programs = SocketPrograms()
    reader = NewsReader(programs.maps["news"], NEWS_BYTES)
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", "import socket\nfor _ in range(50): socket.socket().close()\nprint('done')"],
            stdout=subprocess.PIPE,
        )
        assert child.communicate()[0] == b"done\n"
        with socket.socket():
            found: list[ProgramNews] = []

            def told() -> bool:
                found.extend(reader.read())
                return any(one.pid == child.pid for one in found)

            wait_until(told)
        assert len([one for one in found if one.pid == child.pid]) == 1
    finally:
        reader.close()
        programs.close()
