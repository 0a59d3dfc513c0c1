"""``python -m netally.capture replay FILE``: the command line of a replay. A file name in, lines or batches out."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import shutil
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

import msgspec

from netally.capture.capture_file import CaptureFileError
from netally.capture.replay import CaptureReader, read_flows


def main(arguments: list[str]) -> int:
    """Exit status: 0 when the file was read (a cut end is a warning), 1 when it could not be read or sent."""
    options = _parser().parse_args(arguments)
    if options.delete:
        return _fail("`netally replay FILE --delete` deletes; this program only reads captures")
    try:
        with _open(options.file, again=not options.json) as stream:
            return _print_flows(stream, options) if options.json else _send(stream, options)
    except CaptureFileError as error:
        return _fail(f"{options.file}: {error}")
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(f"cannot read {options.file}: {error.strerror or error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="netally replay",
        description="Read a capture file (pcap, pcapng) and show its traffic like that of a host: on the pages, outside"
        " of totals, with its times moved to end now. Reading a file twice counts it twice.",
    )
    parser.add_argument("file", metavar="FILE", help="capture file, - for standard input")
    parser.add_argument("--json", action="store_true", help="print one flow a line instead; needs nothing running")
    parser.add_argument(
        "--tunnels",
        choices=("outer", "inner"),
        default="outer",
        help="flows as the interface carried them (outer), or those inside tunnels with the bytes of their frames",
    )
    parser.add_argument(
        "--keep-time",
        action="store_true",
        help="leave the times as captured; what is older than raw data is kept counts as lost",
    )
    parser.add_argument("--delete", action="store_true", help="delete what was shown of it, everywhere")
    parser.add_argument("--host", default="", help="name to show it under; default: replay- and the file's name")
    return parser


def _open(file: str, *, again: bool) -> AbstractContextManager[BinaryIO]:
    """The file; standard input is kept on disk when it has to be read ``again``."""
    if file != "-":
        return Path(file).open("rb")
    if not again:
        return nullcontext(sys.stdin.buffer)
    kept = tempfile.TemporaryFile(prefix="netally-replay-")  # noqa: SIM115  (the caller closes it)
    shutil.copyfileobj(sys.stdin.buffer, kept)
    kept.seek(0)
    return kept


def _print_flows(stream: BinaryIO, options: argparse.Namespace) -> int:
    reader = CaptureReader(stream, inner=options.tunnels == "inner")
    encoder = msgspec.json.Encoder()
    for line in read_flows(reader):
        sys.stdout.buffer.write(encoder.encode(line) + b"\n")
    sys.stdout.buffer.flush()
    _remark(reader, options.file)
    return 0


def _send(stream: BinaryIO, options: argparse.Namespace) -> int:
    # Not needed for JSON, and a third of its run time.
    from netally.capture.replay_send import SendError, last_time, send
    from netally.capture.settings import Settings
    from netally.telemetry.logging import configure_logging
    from netally.telemetry.settings import SettingsError, load_settings

    try:
        settings = load_settings(Settings)
        settings.check()
    except SettingsError as error:
        return _fail(str(error))
    configure_logging("capture", "error")
    host = options.host or f"replay-{'stdin' if options.file == '-' else Path(options.file).stem}"
    last = last_time(stream)
    if last is None:
        return _fail(f"{options.file}: the capture is empty")
    # Whole seconds, so that packets keep their place within a second.
    shift = 0.0 if options.keep_time else float(int(time.time() - last))
    stream.seek(0)
    reader = CaptureReader(stream, inner=options.tunnels == "inner")
    try:
        sent = asyncio.run(send(reader, settings, host=host, shift=shift))
    except SendError as error:
        return _fail(str(error))
    _remark(reader, options.file)
    span = f"{_utc(sent.first)} to {_utc(sent.last)}"
    sys.stdout.write(f"{options.file}: {sent.records:,} records in {sent.batches:,} batches as host {host}, {span}\n")
    return 0


def _utc(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _remark(reader: CaptureReader, file: str) -> None:
    for remark in remarks(reader):
        sys.stderr.write(f"netally: {file}: {remark}\n")


def remarks(reader: CaptureReader) -> list[str]:
    """What of the file is in no flow, in plain words."""
    found = []
    if reader.problem:
        found.append(f"{reader.problem}; {reader.frames:,} frames before that were read")
    if reader.unknown_link_types:
        kinds = ", ".join(str(kind) for kind in sorted(reader.unknown_link_types))
        found.append(f"frames of link type {kinds} cannot be read")
    if reader.not_ip:
        found.append(f"{reader.not_ip:,} of {reader.frames:,} frames carry no IP and belong to no flow")
    return found


def _fail(reason: str) -> int:
    sys.stderr.write(f"netally: {reason}\n")
    return 1
