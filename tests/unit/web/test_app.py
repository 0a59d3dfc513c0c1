from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from netally.web.app import create_app
from tests.services import free_port, wait_until
from tests.unit.web.conftest import Site


def run_web(**environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "netally.web"], env={**os.environ, **environment}, text=True, stderr=subprocess.PIPE
    )


def test_making_the_application_opens_nothing() -> None:
    app = create_app()
    assert "api" not in app.state


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_code_0_even_while_a_stream_is_open(site: Site, number: signal.Signals) -> None:
    port = free_port()
    api = site.url  # Any server that streams will do: the site itself proxies the fake's.
    process = run_web(NETALLY_WEB_PORT=str(port), NETALLY_API_URL=api)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: httpx.get(f"{url}/livez", trust_env=False).status_code == 200, within=20)
        with httpx.stream("GET", f"{url}/live", headers=site.client.headers, trust_env=False) as stream:
            next(stream.iter_lines())
            process.send_signal(number)
            assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_port_in_use_is_a_plain_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = run_web(NETALLY_WEB_PORT=str(taken.getsockname()[1]))
        _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "cannot listen on 127.0.0.1" in error
    assert "Set NETALLY_WEB_PORT" in error
    assert "Traceback" not in error


def test_a_wrong_setting_is_a_plain_error() -> None:
    process = run_web(NETALLY_WEB_PORT="seven")
    _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "NETALLY_WEB_PORT" in error
    assert "Traceback" not in error


def test_probes_and_metrics(site: Site) -> None:
    assert site.client.get("/livez").text == "ok\n"
    assert site.client.get("/readyz").json() == {"ready": True, "waiting_for": {}}
    site.html("/")
    site.client.get("/api/hosts")
    found = {family.name: family for family in text_string_to_metric_families(site.client.get("/metrics").text)}
    reads = {
        sample.labels["outcome"]: sample.value
        for sample in found["netally_web_api_reads"].samples
        if sample.name.endswith("_total")
    }
    assert reads["ok"] >= 5
    pages = [sample for sample in found["netally_web_page_seconds"].samples if sample.name.endswith("_count")]
    assert any(sample.labels == {"page": "overview", "status": "200"} and sample.value >= 1 for sample in pages)


def test_pages_are_packed(site: Site) -> None:
    answer = site.client.get("/")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.num_bytes_downloaded < 60_000
