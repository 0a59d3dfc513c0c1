"""``python -m netally.telemetry.ask_probe URL``: the health check of containers, which have no curl. Exit status 0 when
the probe answers 200, else 1 with its reason.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

TIMEOUT = 4.0


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
    """Ask the probe that the command line names."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m netally.telemetry.ask_probe http://127.0.0.1:PORT/readyz\n")
        return 2
    reason = ask(sys.argv[1])
    if reason:
        sys.stdout.write(f"{reason}\n")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
