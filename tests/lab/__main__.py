"""``python -m tests.lab``: every mode on every wire, told in docs/accuracy.md; ends with 1 when a gate is missed."""

from __future__ import annotations

import sys

from tests.accuracy_page import write_section
from tests.lab.gates import failures, report
from tests.lab.scenario import Lifetime, Run, Setting, run

LIFETIMES = [
    Lifetime("< 5 ms", 0, 20),
    Lifetime("< 50 ms", 25, 10),
    Lifetime("< 1 s", 300, 5),
    Lifetime("> 10 s", 10_500, 2),
]
SETTINGS = [
    Setting("plain"),
    Setting("segmentation offload", offload=True),
    Setting("MTU 1280", mtu=1280),
]


def main() -> int:
    runs: list[Run] = []
    failed = False
    for mode in ("ebpf", "packets", "unprivileged"):
        for setting in SETTINGS:
            found = run(mode, setting, LIFETIMES)
            runs.append(found)
            problems = failures(found)
            failed |= bool(problems)
            print(f"{mode}, {setting.words}: {'; '.join(problems) or 'every gate reached'}", flush=True)
    write_section("lab", report(runs))
    print(report(runs))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
