from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from netally.cli import capture_probe
from netally.cli.capture_probe import ProbeError, probe


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that is started in place of the agent's Python."""
    script = tmp_path / "python"
    script.touch(mode=stat.S_IRWXU)
    monkeypatch.setattr(sys, "executable", str(script))
    return script


async def test_the_agent_of_this_tree_answers_in_these_words() -> None:
    sees = await probe()
    assert sees.mode in ("none", "ebpf", "packets", "unprivileged")
    assert "lo" in [each.name for each in sees.interfaces]
    assert all(each.captured or each.reason for each in sees.interfaces)


async def test_an_agent_that_cannot_start_is_quoted(python: Path) -> None:
    python.write_text("#!/bin/sh\necho first >&2\necho 'no module named netally' >&2\nexit 1\n")
    with pytest.raises(ProbeError, match=r"^no module named netally$"):
        await probe()


async def test_an_agent_that_hangs_is_ended(python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python.write_text("#!/bin/sh\nexec sleep 600\n")
    monkeypatch.setattr(capture_probe, "PATIENCE", 0.2)
    with pytest.raises(ProbeError, match="no answer within"):
        await probe()
