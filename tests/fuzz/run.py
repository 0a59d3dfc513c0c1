"""Fuzzes one target after the other: ``python -m tests.fuzz.run [--seconds 600] [target …]``.

Under atheris (coverage-guided) each target runs in a process of its own, because libFuzzer ends the one it runs in;
where atheris has no wheel, random mutations of the seeds drive the same targets. Inputs that reached new code are kept
in ``build/fuzz/<target>`` for the next run; one that raised is written to ``tests/fuzz/corpus/<target>``, to stay as a
test.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CORPUS = Path(__file__).parent / "corpus"
FOUND = ROOT / "build" / "fuzz"
_LONGEST = 20_000


def main() -> int:
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run")
    parser.add_argument("--seconds", type=float, default=600.0, help="of all targets together")
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(TARGETS))
    options = parser.parse_args()
    targets = options.targets or list(TARGETS)
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    failed = []
    for name in targets:
        seconds = options.seconds / len(targets)
        print(f"{name}: {seconds:.0f} s", flush=True)
        if not fuzz(name, seconds):
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "no target failed")
    return 1 if failed else 0


def fuzz(name: str, seconds: float) -> bool:
    """Whether the target survived; a failing input is in its corpus then."""
    if importlib.util.find_spec("atheris") is None:
        return mutate(name, seconds)
    found, corpus = FOUND / name, CORPUS / name
    found.mkdir(parents=True, exist_ok=True)
    corpus.mkdir(parents=True, exist_ok=True)
    write_seeds(name, found)
    run = subprocess.run(
        [
            sys.executable, "-m", "tests.fuzz.guided", name, str(found), str(corpus),
            f"-max_total_time={max(1, round(seconds))}", f"-artifact_prefix={corpus}/", f"-max_len={_LONGEST}",
            "-timeout=20", "-rss_limit_mb=2048", "-verbosity=0", "-print_final_stats=1",
        ],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if run.returncode:
        print(run.stdout[-2_000:] + run.stderr[-6_000:])
    else:
        print(*(line for line in run.stderr.splitlines() if "number_of_executed_units" in line))
    if not any(corpus.iterdir()):
        corpus.rmdir()
    return run.returncode == 0


def write_seeds(name: str, directory: Path) -> None:
    from tests.fuzz.targets import SEEDS

    for seed in SEEDS[name]():
        (directory / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


def mutate(name: str, seconds: float) -> bool:
    """Random changes of the seeds and of the corpus, for as long as given."""
    from tests.fuzz.targets import SEEDS, TARGETS

    rng = random.Random(name)
    seeds = SEEDS[name]() + [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 8)):
            place = rng.randrange(len(data) + 1)
            kind = rng.randrange(4)
            if kind == 0:
                del data[place : place + rng.randrange(1, 40)]
            elif kind == 1:
                data[place:place] = rng.randbytes(rng.randrange(1, 9))
            elif place < len(data):
                data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        try:
            TARGETS[name](bytes(data))
        except Exception as error:  # noqa: BLE001
            directory = CORPUS / name
            directory.mkdir(parents=True, exist_ok=True)
            (directory / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
            print(f"{name}: {error!r}")
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
