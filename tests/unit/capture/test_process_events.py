"""Processes that start and end: read from the kernel's messages, and heard of real ones."""

from __future__ import annotations

import os
import struct
import subprocess
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.capture.process_events import ProcessEvent, ProcessEvents, parse_event
from tests.services import wait_until

FORK, EXEC, UID, EXIT = 1, 2, 4, 0x80000000


def message(what: int, *data: int) -> bytes:
    return bytes(36) + struct.pack("=IIQ", what, 0, 0) + struct.pack("=IIII", *data) + bytes(8)


def test_processes_are_told_and_threads_are_not() -> None:
    assert parse_event(message(FORK, 10, 10, 11, 11)) == ProcessEvent(11, started=True)
    assert parse_event(message(FORK, 10, 10, 11, 10)) is None
    assert parse_event(message(EXEC, 12, 11, 0, 0)) == ProcessEvent(11, started=True)
    assert parse_event(message(EXIT, 11, 11, 0, 17)) == ProcessEvent(11, started=False)
    assert parse_event(message(EXIT, 12, 11, 0, 17)) is None
    assert parse_event(message(UID, 11, 11, 0, 0)) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_an_event_or_none(data: bytes) -> None:
    parse_event(data)


@pytest.mark.root
def test_a_process_is_heard_of_from_its_start_to_its_end() -> None:
    events = ProcessEvents()
    heard: list[ProcessEvent] = []

    def hear(event: ProcessEvent) -> bool:
        heard.extend(events.read())
        return event in heard

    try:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
            wait_until(lambda: hear(ProcessEvent(process.pid, started=True)))
            assert ProcessEvent(process.pid, started=False) not in heard
        wait_until(lambda: hear(ProcessEvent(process.pid, started=False)))
        assert os.getpid() not in {event.pid for event in heard}
        assert events.lost == 0
    finally:
        events.close()
