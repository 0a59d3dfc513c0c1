"""``python -m netally.capture``: the agent; ``… probe``: what it could see here; ``… replay FILE``: a capture file."""

import sys


def main() -> int:
    """Start what the first argument names; it is imported only when it runs."""
    match sys.argv[1:]:
        case []:
            from netally.capture import app

            return app.main()
        case ["probe"]:
            from netally.capture import probe_command

            return probe_command.main()
        case ["replay", *rest]:
            from netally.capture import replay_command

            return replay_command.main(rest)
        case [other, *_]:
            sys.stderr.write(f"netally: {other!r} is not known; say nothing (the agent), `probe` or `replay FILE`\n")
            return 2
    return 2


if __name__ == "__main__":
    sys.exit(main())
