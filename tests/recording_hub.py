"""A hub that writes down what an extension sends, and pages of any name, on ports of this machine."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

TITLE = "A private title"


class Sent(NamedTuple):
    """A request to the hub."""

    at: float
    """When it came, in monotonic seconds."""
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: str

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class RecordingHub:
    """Takes every report with ``status``; ``visited`` are the Host and path of what pages asked for."""

    def __init__(self) -> None:
        self.status = 202
        self.sent: list[Sent] = []
        self.visited: list[tuple[str, str]] = []
        self._changed = threading.Condition()
        self.hub_port = self.site_port = 0

    def site(self, name: str, path: str = "/") -> str:
        return f"http://{name}:{self.site_port}{path}"

    def note(self, sent: Sent) -> None:
        with self._changed:
            self.sent.append(sent)
            self._changed.notify_all()

    def note_visit(self, host: str, path: str) -> None:
        with self._changed:
            self.visited.append((host.rpartition(":")[0], path))
            self._changed.notify_all()

    def wait(self, condition: Callable[[], object], within: float = 60) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, within), f"not in time; sent: {[one.body for one in self.sent]}"

    def reports(self) -> list[dict[str, Any]]:
        return [one.report for one in self.sent]

    def spans(self) -> list[dict[str, Any]]:
        return [span for report in self.reports() for span in [*report["earlier"], report]]

    def domains(self) -> set[str]:
        return {str(span["domain"]) for span in self.spans()}


def _handlers(hub: RecordingHub) -> tuple[type[BaseHTTPRequestHandler], type[BaseHTTPRequestHandler]]:
    class Quiet(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name the base class gave it)
            return

        def answer(self, status: int, kind: str, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

    class Hub(Quiet):
        def do_GET(self) -> None:
            self.answer(200, "application/json", json.dumps({"browsers": [{"host": "desk"}]}))

        def do_POST(self) -> None:
            at = time.monotonic()
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.answer(hub.status, "application/json", "{}")
            hub.note(Sent(at, self.path, headers, body))

    class Site(Quiet):
        def do_GET(self) -> None:
            if self.path.endswith(".js"):
                self.answer(200, "text/javascript", "")
            else:
                script = hub.site("cdn.example", "/secret-path/of.js?secret=query")
                self.answer(200, "text/html", f'<!doctype html><title>{TITLE}</title><script src="{script}"></script>')
            hub.note_visit(self.headers["Host"], self.path)

    return Hub, Site


@contextlib.contextmanager
def recording_hub() -> Iterator[RecordingHub]:
    hub = RecordingHub()
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in _handlers(hub)]
    hub.hub_port, hub.site_port = (server.server_address[1] for server in servers)
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
