"""TCP ports: free ones for servers of our own, and plain words when a fixed one is taken."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

import psutil

from netally.cli.plain_error import PlainError


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    try:
        _try_to_bind(port, host)
    except OSError:
        return False
    return True


def check_ports(wanted: Mapping[str, int], host: str, local: Mapping[str, int]) -> None:
    """Raise PlainError when one cannot be listened on. Keys are the variables that set the ports; ``wanted`` are
    opened on ``host``, ``local`` on 127.0.0.1; 0 means that the port is not used.
    """
    seen: dict[int, str] = {}
    for variable, port in {**wanted, **local}.items():
        if port == 0:
            continue
        if port in seen:
            raise PlainError(f"{variable} and {seen[port]} are both {port}; each needs a port of its own.")
        seen[port] = variable
        try:
            _try_to_bind(port, host if variable in wanted else "127.0.0.1")
        except OSError as error:
            raise PlainError(_why(error, port, host, variable)) from None


def _try_to_bind(port: int, host: str) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        # As the servers do: connections of the last run that wait in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)


def _why(error: OSError, port: int, host: str, variable: str) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; set NETALLY_BIND to one (127.0.0.1 is the default)."
    if error.errno == errno.EACCES:
        return f"port {port} may only be opened by root; set {variable} to a port above 1023."
    if error.errno == errno.EADDRINUSE:
        user = listener(port)
        by = f" by {user}" if user else ""
        return f"port {port} is already in use{by}; stop that program, or set {variable} to another port."
    return f"port {port} cannot be opened ({error.strerror}); set {variable} to another port."


def listener(port: int) -> str | None:
    """``name (process 123)`` of the program that listens on a port, when this user may know it."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return None
    for connection in connections:
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid
        ):
            try:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.Error:
                return f"process {connection.pid}"
    return None
