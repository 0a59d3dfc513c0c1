"""An HTTPS server with a certificate of its own making: ``GET /N`` answers N bytes, ``GET /page/a.test:N,b.test:M``
a page that loads N bytes of one host and M of another. IPv4 and IPv6.

python -m tests.peers.tls_server 443 [LOG]

LOG gets a JSON line for each connection when it has ended: the ``name`` that was asked for in the ClientHello, and the
``sent`` and ``received`` bytes of its IP packets as the kernel counted them.
"""

from __future__ import annotations

import datetime
import json
import socket
import ssl
import struct
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Bytes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/page/"):
            self._send_page(self.path.removeprefix("/page/").partition("?")[0])
            return
        if not self.path.rsplit("/", 1)[1].isdigit():
            self.send_error(404)
            return
        size = int(self.path.rsplit("/", 1)[1] or 0)
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        block = b"x" * 65536
        while size > 0:
            self.wfile.write(block[:size])
            size -= len(block)

    def _send_page(self, parts: str) -> None:
        scripts = "".join(
            f'<script async src="https://{part.replace(":", "/")}"></script>' for part in parts.split(",") if part
        )
        page = f"<!doctype html><title>A private title</title><p>{scripts}</p>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name the base class gave it)
        return


def packet_bytes(connection: socket.socket) -> tuple[int, int]:
    """Sent and received bytes of a connection's IP packets until now, from ``struct tcp_info`` (linux/tcp.h).

    Each segment has an IP header and 32 bytes of TCP header with its timestamp; those that open it have 8 more.
    """
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    (received,) = struct.unpack_from("=Q", info, 128)
    segments_out, segments_in = struct.unpack_from("=II", info, 136)
    (sent,) = struct.unpack_from("=Q", info, 200)
    header = 32 + (20 if connection.getsockname()[0].startswith("::ffff:") else 40)
    return sent + segments_out * header + 8, received + segments_in * header + 8


class DualStackServer(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    log: Path | None = None

    def shutdown_request(self, request: Any) -> None:
        if self.log is not None:
            with self.log.open("a") as log:
                sent, received = packet_bytes(request)
                log.write(json.dumps({"name": request.asked_for, "sent": sent, "received": received}) + "\n")
        super().shutdown_request(request)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", int(self.server_address[1])


def self_signed() -> bytes:
    """Key and certificate for any name, PEM, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "netally.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)


def remember_name(connection: Any, name: str | None, context: ssl.SSLContext) -> None:
    connection.asked_for = name


def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = remember_name
    with tempfile.TemporaryDirectory() as directory:
        pem = Path(directory) / "server.pem"
        pem.write_bytes(self_signed())
        context.load_cert_chain(pem)
    server = DualStackServer(("::", int(sys.argv[1])), Bytes)
    server.log = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
