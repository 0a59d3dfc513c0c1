"""``python -m tests.lab [MODE…]``: modes (all of them) on every wire, told in docs/accuracy.md; ends with 1 when a gate
is missed. What a mode reached is kept in build/lab: the page tells the last run of each.
"""

from __future__ import annotations

import sys

import msgspec

from tests.accuracy_page import write_section
from tests.lab.gates import failures, report
from tests.lab.scenario import Lifetime, Run, Setting, run
from tests.namespaces import REPOSITORY

KEPT = REPOSITORY / "build/lab"
MODES = ("ebpf", "packets", "unprivileged")
LIFETIMES = [
    Lifetime("< 5 ms", 0, 20),
    Lifetime("< 50 ms", 25, 16),
    Lifetime("< 1 s", 300, 6),
]
LONG = Lifetime("> 10 s", 10_500, 3)
SETTINGS = {
    Setting("plain"): [*LIFETIMES, LONG],
    Setting("segmentation offload", offload=True): LIFETIMES,
    Setting("MTU 1280", mtu=1280): LIFETIMES,
    Setting("3 % loss", loss=3.0): LIFETIMES,
    Setting("VLAN tags", vlan=5): LIFETIMES,
}


def main(wanted: list[str]) -> int:
    failed = False
    KEPT.mkdir(parents=True, exist_ok=True)
    for mode in wanted or MODES:
        runs: list[Run] = []
        for setting, lifetimes in SETTINGS.items():
            found = run(mode, setting, lifetimes)
            runs.append(found)
            problems = failures(found)
            failed |= bool(problems)
            print(f"{mode}, {setting.words}: {'; '.join(problems) or 'every gate reached'}", flush=True)
        (KEPT / f"{mode}.json").write_bytes(msgspec.json.encode(runs))
    kept = [KEPT / f"{mode}.json" for mode in MODES]
    told = report(
        [each for path in kept if path.exists() for each in msgspec.json.decode(path.read_bytes(), type=list[Run])]
    )
    write_section("lab", told)
    print(told)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
