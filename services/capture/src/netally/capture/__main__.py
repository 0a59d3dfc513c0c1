"""``python -m netally.capture replay FILE``: a capture file instead of live traffic."""

import sys


def main() -> int:
    """Start what the first argument names; it is imported only when it runs."""
    if sys.argv[1:2] == ["replay"]:
        from netally.capture import replay_command

        return replay_command.main(sys.argv[2:])
    sys.stderr.write("netally: what to start is missing; say: python -m netally.capture replay FILE\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
