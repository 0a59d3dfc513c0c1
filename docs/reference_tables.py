"""Tables of docs/reference.md, made from the code. In: the source tree. Out: Markdown. Run by cog, see `make docs`."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from netally.bus import streams, subjects
from netally.contracts.commands import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
MEMBERS = ("cli", "capture", "aggregator", "api", "web", "bus", "store", "telemetry")
"""In the order in which their words on a setting are preferred."""


def source(member: str) -> Path:
    return next(ROOT.glob(f"*/{member}/src/netally/{member}"))


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _settings_classes(member: str) -> Iterator[tuple[str, ast.ClassDef]]:
    for path in sorted(source(member).glob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
                yield f"netally.{member}.{path.stem}", node


def _field_words(node: ast.ClassDef) -> dict[str, str]:
    """Field: the docstring that follows it, on one line."""
    words = {}
    for field, after in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            words[field.target.id] = " ".join(str(text).split()).replace("``", "`").replace("|", "\\|")
    return words


def _shown(default: Any) -> str:
    if default is msgspec.NODEFAULT:
        return "must be set"
    return f"`{default}`" if default not in ("", None) else ""


def settings() -> str:
    """Variable, default, who reads it, meaning."""
    meaning = {"NETALLY_LOG_LEVEL": "`debug`, `info`, `warning` or `error`."}
    default: dict[str, str] = {}
    readers: dict[str, list[str]] = {}
    for member in MEMBERS:
        for module, node in _settings_classes(member):
            struct = getattr(importlib.import_module(module), node.name)
            words = _field_words(node)
            for field in msgspec.structs.fields(struct):
                name = f"NETALLY_{field.name.upper()}"
                meaning[name] = meaning.get(name) or words.get(field.name, "")
                default.setdefault(name, _shown(field.default))
                for reader in ("capture", "aggregator", "api") if member == "bus" else (member,):
                    if reader not in readers.setdefault(name, []):
                        readers[name].append(reader)
    rows = [(f"`{name}`", default[name], ", ".join(readers[name]), meaning[name]) for name in sorted(meaning)]
    return table(("variable", "default", "read by", "meaning"), rows)


def subject_names() -> str:
    """Subject, what goes there; from the constants and the functions that build them."""
    host, identity = "web-1.example.org", "0123456789abcdef0123456789abcdef"
    rows = [
        (subjects.flows(host), "flow batches of a host", "MessagePack, zstd"),
        (subjects.agents(host), "state of an agent, every 10 s and on change", "JSON"),
        (subjects.live(host), "traffic of the last second, never stored", "JSON"),
        (subjects.command_to_aggregator("name"), "a command for the aggregator", "JSON"),
        (subjects.command_to_host(host, "name"), "a command for one agent", "JSON"),
        (subjects.command_to_hosts("refresh-cache"), "a broadcast to every host; core NATS, answered", "JSON"),
        (subjects.command_to_services("name"), "a broadcast to every aggregator and API instance; core NATS", "JSON"),
        (subjects.host_settings(host), "settings of a host, whenever they change", "JSON"),
        (subjects.outcome("aggregator", identity), "what became of a command", "JSON"),
        (subjects.access_used(), "use of tokens and sessions, from each API instance", "JSON"),
        (subjects.access_changed(), "a token was made or revoked; core NATS, empty", ""),
        (subjects.deadletters(streams.FLOWS), "what can never be stored, with the reason", "JSON"),
    ]
    return table(
        ("subject (host web-1.example.org)", "carries", "body"), [(f"`{name}`", *rest) for name, *rest in rows]
    )


def _size(number: int | None) -> str:
    if not number or number < 0:
        return ""
    return f"{number // streams.GIB} GiB" if number >= streams.GIB else f"{number // streams.MIB} MiB"


def stream_table() -> str:
    """Stream, subjects, how long it keeps what."""
    rows = []
    for config in streams.stream_configs():
        keeps = f"{config.max_age / 86400:.0f} days" if config.max_age else ""
        if config.max_msgs_per_subject and config.max_msgs_per_subject > 0:
            keeps = "the newest of each host"
        if config.retention is not None and config.retention.value == "workqueue":
            keeps = "until acknowledged"
        full = (
            "refuses new ones" if config.discard is not None and config.discard.value == "new" else "drops the oldest"
        )
        names = ", ".join(f"`{name}`" for name in config.subjects or [])
        rows.append((f"`{config.name}`", names, keeps, _size(config.max_bytes), full))
    return table(("stream", "subjects", "keeps messages", "at most", "when full"), rows)


def consumer_table() -> str:
    """Durable consumers."""
    rows = [
        (
            f"`{stream}`",
            f"`{config.durable_name}`",
            f"{config.ack_wait or 0:.0f} s",
            "without limit" if config.max_deliver == -1 else str(config.max_deliver),
            str(config.max_ack_pending),
        )
        for stream, config in streams.consumer_configs()
    ]
    return table(("stream", "consumer", "redelivered after", "deliveries", "unacknowledged at most"), rows)


def command_table() -> str:
    """Commands, their arguments and what they do; from the registry."""
    rows = []
    for kind in COMMANDS.values():
        arguments = ", ".join(
            f"`{field.encode_name}`" + ("" if field.required else "?")
            for field in msgspec.structs.fields(kind.arguments)
        )
        after = ("previews" if kind.previews else "", "" if kind.resumes else "fails when interrupted")
        rows.append((f"`{kind.name}`", arguments, kind.lane, kind.role, ", ".join(filter(None, after)), kind.summary))
    return table(("command", "arguments", "lane", "role", "", "does"), rows)


def metrics() -> str:
    """Prometheus metrics, read from the calls that make them."""
    rows = []
    for member in MEMBERS:
        path = source(member) / "metrics.py"
        if not path.is_file():
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            kind = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if isinstance(node, ast.Call) and kind in ("Counter", "Gauge", "Histogram", "Info"):
                name, words, *labels = [ast.literal_eval(argument) for argument in node.args[:3]]
                if kind == "Counter" and not name.endswith("_total"):
                    name += "_total"
                by = ", ".join(f"`{label}`" for label in labels[0]) if labels else ""
                rows.append((f"`{name}`", kind.lower(), by, words))
    return table(("metric", "type", "labels", "meaning"), sorted(rows))
