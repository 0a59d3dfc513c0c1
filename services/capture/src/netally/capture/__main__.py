"""``python -m netally.capture``: the agent; ``… probe``: what it could see here; ``… replay FILE``: a capture file;
``… simulate``: hosts that do not exist.
"""

import os
import sys


def main() -> int:
    """Start what the first argument names; it is imported only when it runs."""
    match sys.argv[1:]:
        case []:
            # structlog loads rich where it is installed, for colours that this log has none of: a sixth of the start.
            # None there makes its import fail, which structlog is prepared for; only the stub knows modules alone.
            sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
            # The same for the bus over WebSocket, which the agent does not speak: 6 MB.
            sys.modules.setdefault("aiohttp", None)  # type: ignore[arg-type]
            # The pool of numpy's linear algebra, which is not used, would be threads that keep every privilege.
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            from netally.capture import app

            return app.main()
        case ["probe"]:
            from netally.capture import probe_command

            return probe_command.main()
        case ["replay", *rest]:
            from netally.capture import replay_command

            return replay_command.main(rest)
        case ["simulate", *rest]:
            from netally.capture import simulate_command

            return simulate_command.main(rest)
        case [other, *_]:
            known = "nothing (the agent), `probe`, `replay FILE` or `simulate`"
            sys.stderr.write(f"netally: {other!r} is not known; say {known}\n")
            return 2
    return 2


if __name__ == "__main__":
    sys.exit(main())
