"""What the agent says that it can see on this machine, asked in a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import msgspec


class ProbedInterface(msgspec.Struct, frozen=True):
    name: str
    captured: bool
    reason: str = ""
    """Why it is not captured."""


class CaptureProbe(msgspec.Struct, frozen=True):
    """Answer of ``python -m netally.capture probe``."""

    mode: str
    reason: str
    """Why this mode and not a better one; empty for the best."""
    advice: str
    """What would raise it."""
    interfaces: list[ProbedInterface]


class ProbeError(Exception):
    """The agent gave no answer; the message says what it gave instead."""


PATIENCE = 30.0


async def probe() -> CaptureProbe:
    """Ask the agent; ProbeError when it does not answer or in other words than these."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "netally.capture", "probe"),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            output, errors = await process.communicate()
    except BaseException as error:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(error, TimeoutError):
            raise ProbeError(f"no answer within {PATIENCE:.0f} s") from None
        raise
    try:
        return msgspec.json.decode(output, type=CaptureProbe)
    except msgspec.DecodeError as error:
        last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ProbeError(last or str(error)) from None
