from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from netally.cli.login import login_url
from netally.cli.plain_error import PlainError
from netally.cli.ports import free_port

Answer = Callable[[BaseHTTPRequestHandler], tuple[int, str]]


@contextmanager
def api(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = answer(self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def test_the_link_carries_a_code_and_never_the_token() -> None:
    def answer(request: BaseHTTPRequestHandler) -> tuple[int, str]:
        right = request.path == "/api/session/codes" and request.headers["Authorization"] == "Bearer t0ken"
        return (201, json.dumps({"code": "a/b+c"})) if right else (401, "")

    with api(answer) as base:
        link = await login_url(base, "http://127.0.0.1:7500", "t0ken")
        assert link == "http://127.0.0.1:7500/login?code=a%2Fb%2Bc"
        with pytest.raises(PlainError, match="refuses the token"):
            await login_url(base, "http://127.0.0.1:7500", "other")


@pytest.mark.parametrize("body", ["{}", "x", "[]"])
async def test_an_answer_without_a_code_is_a_plain_error(body: str) -> None:
    with api(lambda _: (200, body)) as base, pytest.raises(PlainError, match="gives no login code"):
        await login_url(base, "http://w", "t")


async def test_an_api_that_is_away_is_a_plain_error() -> None:
    with pytest.raises(PlainError, match=r"does not answer .* is `netally up` running"):
        await login_url(f"http://127.0.0.1:{free_port()}", "http://w", "t")
