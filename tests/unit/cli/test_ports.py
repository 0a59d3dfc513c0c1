from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from netally.cli import ports
from netally.cli.plain_error import PlainError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_said_with_its_variable_and_its_user(taken: int) -> None:
    with pytest.raises(PlainError) as error:
        ports.check_ports({"NETALLY_WEB_PORT": taken}, "127.0.0.1", {})
    words = str(error.value)
    assert words.startswith(f"port {taken} is already in use by ")
    assert "process " in words
    assert "set NETALLY_WEB_PORT to another port" in words
    assert not ports.is_free(taken)


def test_free_ports_pass_and_zero_means_unused() -> None:
    port = ports.free_port()
    ports.check_ports({"NETALLY_WEB_PORT": port}, "127.0.0.1", {"NETALLY_CAPTURE_PORT": 0, "NETALLY_X_PORT": 0})
    assert ports.is_free(port)


def test_one_port_for_two_purposes_is_refused() -> None:
    port = ports.free_port()
    with pytest.raises(PlainError, match=f"NETALLY_CAPTURE_PORT and NETALLY_WEB_PORT are both {port}"):
        ports.check_ports({"NETALLY_WEB_PORT": port}, "127.0.0.1", {"NETALLY_CAPTURE_PORT": port})


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PlainError, match=r"192\.0\.2\.1 is no address of this machine; set NETALLY_BIND"):
        ports.check_ports({"NETALLY_WEB_PORT": ports.free_port()}, "192.0.2.1", {})


def test_a_port_that_waits_in_time_wait_is_free() -> None:
    """The second `make run` right after the first must not be refused."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            served, _ = listener.accept()
            served.close()  # the server's side closes first, so the wait is on its port
            assert client.recv(1) == b""
    ports.check_ports({"NETALLY_WEB_PORT": port}, "127.0.0.1", {})
