"""The AsyncAPI 3.0 document of the bus, made from the code. ``python docs/asyncapi_document.py [--check]``

In: the aggregator's FastStream router, the registry of commands, the Structs that cross the bus. Out: the file that the
API serves at ``/api/asyncapi.json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI

from netally.aggregator.command_intake import Intake, make_router
from netally.api.state import VERSION
from netally.contracts import commands, live_settings
from netally.contracts.agent import AgentReported, LiveSample
from netally.contracts.commands import COMMANDS, Command, CommandKind, Outcome
from netally.contracts.tabs import TabsReported

FILE = Path(__file__).resolve().parent.parent / "services/api/src/netally/api/static/asyncapi.json"
_REF = "#/components/schemas/{name}"
_JSON = "application/json"


class _NoIntake(Intake):
    """The router needs one to call, and here nothing is called."""

    def __init__(self) -> None:
        """Nothing is connected."""


def document() -> dict[str, Any]:
    """The document as JSON values."""
    broker = NatsBroker()
    broker.include_router(make_router(_NoIntake()))
    made = AsyncAPI(
        broker,
        title="Netally's bus",
        version=VERSION,
        description="Subjects and payloads on NATS. A command goes to the stream COMMANDS, whose acknowledgement means "
        "stored; what becomes of it is told on outcomes.v1.<source>.<id> and kept in the stream OUTCOMES for a week. A "
        "host name is one token: each byte but letters, digits and hyphens is _ and two hex digits.",
    )
    found: dict[str, Any] = json.loads(json.dumps(made.to_specification().to_jsonable()))
    found["servers"] = {"bus": {"host": "127.0.0.1:4222", "protocol": "nats"}}
    structs: list[Any] = [
        Command, Outcome, AgentReported, LiveSample, TabsReported, live_settings.HostSettings, commands.CacheOrder,
        commands.CacheReply, *(kind.arguments for kind in COMMANDS.values()),
    ]  # fmt: skip
    _, schemas = msgspec.json.schema_components(structs, ref_template=_REF)
    messages: dict[str, Any] = {}
    found["components"] = {"schemas": schemas, "messages": messages}
    channel = found["channels"]["commands"]
    del channel["servers"]
    channel["address"] = "commands.v1.aggregator.{name}"
    channel["parameters"] = {"name": {"enum": list(COMMANDS), "description": "Name of the command"}}
    channel["messages"] = {}
    for kind in COMMANDS.values():
        messages[kind.name] = _command(kind)
        channel["messages"][kind.name] = {"$ref": f"#/components/messages/{kind.name}"}
    found["operations"] = {"commands": {"action": "receive", "channel": {"$ref": "#/channels/commands"}}}
    for name, address, action, struct, words in (
        ("outcomes", "outcomes.v1.{source}.{command}", "send", Outcome, "Each event of a command"),
        ("agents", "agents.v1.{host}", "receive", AgentReported, "State of an agent, every 10 s and on change"),
        ("tabs", "tabs.v1.{host}", "send", TabsReported, "What a browser of the host reports; stream TABS"),
        ("live", "live.v1.{host}", "send", LiveSample, "Traffic of the last second; core NATS, never stored"),
        (
            "settings", "settings.v1.hosts.{host}", "send", live_settings.HostSettings,
            "Settings of a host whenever they change, republished from key hosts.{host} of the KV bucket settings",
        ),
        (
            "refresh", "commands.v1.hosts.refresh-cache", "send", commands.CacheOrder,
            "Broadcast to every host; each answers with a CacheReply to the reply subject; core NATS",
        ),
    ):  # fmt: skip
        parts = [part[1:-1] for part in address.split(".") if part.startswith("{")]
        messages[name] = {
            "name": struct.__name__, "contentType": _JSON, "payload": {"$ref": _REF.format(name=struct.__name__)}
        }  # fmt: skip
        found["channels"][name] = {
            "address": address,
            "description": words,
            "parameters": {part: {"description": part} for part in parts},
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        found["operations"][name] = {"action": action, "channel": {"$ref": f"#/channels/{name}"}}
    return found


def _command(kind: CommandKind) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=kind.arguments.__name__)}
    properties = {"name": {"const": kind.name}, "arguments": schema}
    return {
        "name": kind.name,
        "title": kind.summary,
        "contentType": _JSON,
        "payload": {"allOf": [{"$ref": _REF.format(name="Command")}, {"properties": properties}]},
    }


def text() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> int:
    if "--check" in sys.argv:
        if FILE.read_text("utf-8") != text():
            sys.stderr.write(f"{FILE} is not what the code says: run `make docs`\n")
            return 1
        return 0
    FILE.write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
