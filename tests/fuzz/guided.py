"""One target under atheris: ``python -m tests.fuzz.guided target directory … [libFuzzer options]``."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["netally.capture"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name = sys.argv[1]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
