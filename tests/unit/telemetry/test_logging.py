from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import logging, structlog
from netally.telemetry.logging import configure_logging
configure_logging("api", {level!r}, json={json})
log = structlog.get_logger()
log.debug("not shown")
log.info("batch committed", host="web-1", rows=3)
logging.getLogger("uvicorn.access").info("a request")
logging.getLogger("somebody").warning("from a library %s", "x")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("it failed")
"""


def lines(*, level: str = "info", as_json: bool = True) -> list[str]:
    """What a process of its own logs: the set-up is global."""
    script = SCRIPT.format(level=level, json=as_json)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_one_json_object_a_line_with_service_level_and_time() -> None:
    records = [json.loads(line) for line in lines()]
    assert [record["event"] for record in records] == ["batch committed", "from a library x", "it failed"]
    first = records[0]
    assert (first["service"], first["level"], first["host"], first["rows"]) == ("api", "info", "web-1", 3)
    assert first["timestamp"].endswith("Z")
    assert "ZeroDivisionError" in records[2]["exception"]


def test_the_level_is_a_threshold() -> None:
    assert [json.loads(line)["event"] for line in lines(level="error")] == ["it failed"]
    assert "not shown" in lines(level="debug")[0]


def test_text_for_a_terminal() -> None:
    assert "batch committed" in lines(as_json=False)[0]
    assert not lines(as_json=False)[0].startswith("{")
