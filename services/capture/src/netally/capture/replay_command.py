"""``python -m netally.capture replay FILE``: the command line of a replay. A file name in, lines or batches out."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import msgspec

from netally.capture.capture_file import CaptureFileError
from netally.capture.replay import CaptureReader, read_flows


def main(arguments: list[str]) -> int:
    """Exit status: 0 when the file was read (a cut end is a warning), 1 when it could not be."""
    options = _parser().parse_args(arguments)
    with ExitStack() as stack:
        try:
            stream: BinaryIO = sys.stdin.buffer
            if options.file != "-":
                stream = stack.enter_context(Path(options.file).open("rb"))
            reader = CaptureReader(stream, inner=options.tunnels == "inner")
            return _print_flows(reader, options.file)
        except CaptureFileError as error:
            return _fail(f"{options.file}: {error}")
        except BrokenPipeError:  # the reader of our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except OSError as error:
            return _fail(f"cannot read {options.file}: {error.strerror or error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="netally replay", description="Read a capture file (pcap, pcapng).")
    parser.add_argument("file", metavar="FILE", help="capture file, - for standard input")
    parser.add_argument("--json", action="store_true", required=True, help="print one flow a line")
    parser.add_argument(
        "--tunnels",
        choices=("outer", "inner"),
        default="outer",
        help="flows as the interface carried them (outer), or those inside tunnels with the bytes of their frames",
    )
    return parser


def _print_flows(reader: CaptureReader, file: str) -> int:
    encoder = msgspec.json.Encoder()
    for line in read_flows(reader):
        sys.stdout.buffer.write(encoder.encode(line) + b"\n")
    sys.stdout.buffer.flush()
    for remark in remarks(reader):
        print(f"netally: {file}: {remark}", file=sys.stderr)  # noqa: T201
    return 0


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
    print(f"netally: {reason}", file=sys.stderr)  # noqa: T201
    return 1
