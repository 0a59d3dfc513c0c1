"""Twenty seconds of fuzzing, and every input that once failed."""

from __future__ import annotations

import pytest

from tests.fuzz.run import CORPUS, fuzz, mutate
from tests.fuzz.targets import SEEDS, TARGETS

SECONDS = 20.0
GUIDED = ("capture_file", "flow_names", "quic", "replay")
"""Those that reach all parsers; the others are guided in ``make fuzz``, each start costs more than a second."""
KEPT = [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*"))]


def test_every_target_has_seeds_that_it_takes() -> None:
    assert set(SEEDS) == set(TARGETS)
    for name, target in TARGETS.items():
        seeds = SEEDS[name]()
        assert seeds
        for seed in seeds:
            target(seed)


def test_inputs_that_once_failed() -> None:
    for name, path in KEPT:
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", GUIDED)
def test_guided(name: str) -> None:
    assert fuzz(name, SECONDS / 2 / len(GUIDED))


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_mutations(name: str) -> None:
    assert mutate(name, SECONDS / 2 / len(TARGETS))
