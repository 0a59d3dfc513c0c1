"""``python -m netally.telemetry.ask_probe [URL]``: the health check of containers, which have no curl. Exit status 0
when the probe answers 200, else 1 with its reason. Without a URL: whether the service that NETALLY_SERVICE names lives.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Final

TIMEOUT = 4.0
LIVES: Final = {
    "aggregator": ("NETALLY_AGGREGATOR_PORT", "7502", "/livez"),
    "api": ("NETALLY_API_PORT", "7501", "/api/health"),
    "capture": ("NETALLY_CAPTURE_PORT", "7503", "/livez"),
    "web": ("NETALLY_WEB_PORT", "7500", "/livez"),
}


def own_url(environ: Mapping[str, str]) -> str:
    """Where the container's service says that it lives; empty for a container that runs none."""
    known = LIVES.get(environ.get("NETALLY_SERVICE", ""))
    if known is None:
        return ""
    variable, port, path = known
    return f"http://127.0.0.1:{environ.get(variable) or port}{path}"


def ask(url: str) -> str:
    """Empty when the probe answers 200, else why not."""
    if not url.startswith(("http://127.0.0.1:", "http://localhost:", "http://[::1]:")):
        return f"{url} is no probe on this machine"
    try:
        # No proxy from the environment, and nothing but this machine: checked above.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=TIMEOUT) as answer:
            return "" if answer.status == 200 else f"it answers {answer.status}"
    except urllib.error.HTTPError as error:
        with error:
            return error.read(2000).decode("utf-8", "replace").strip() or f"it answers {error.code}"
    except OSError as error:
        return f"it does not answer: {error}"


def main() -> int:
    """Ask the probe that the command line names, or the container's own."""
    if len(sys.argv) > 2:
        sys.stderr.write("usage: python -m netally.telemetry.ask_probe [http://127.0.0.1:PORT/readyz]\n")
        return 2
    url = sys.argv[1] if len(sys.argv) == 2 else own_url(os.environ)
    reason = ask(url) if url or len(sys.argv) == 2 else ""
    if reason:
        sys.stdout.write(f"{reason}\n")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
