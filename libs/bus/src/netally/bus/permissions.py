"""What each user of a secured NATS server may publish and hear: a host only as itself, the API only what it asks for.

The shape is that of nats-server's configuration (``permissions`` of a user).
"""

from __future__ import annotations

from typing import Any, Final

from netally.bus import streams, subjects
from netally.bus.credentials import host_inbox, service_inbox

_SETTINGS: Final = f"KV_{streams.SETTINGS_BUCKET}"
_EXPORTS: Final = f"OBJ_{streams.EXPORTS_BUCKET}"

ANSWERS: Final = {"max": 1, "expires": "30s"}
"""To whatever asks with a reply subject: one answer."""


def host_permissions(host: str) -> dict[str, Any]:
    """An agent: its own flows, states and samples out; its own settings, tabs and orders in."""
    token = subjects.host_token(host)
    return {
        "publish": [
            subjects.flows(host),
            subjects.agents(host),
            subjects.live(host),
            # Its settings, by key, without a consumer.
            *(
                f"$JS.API.DIRECT.GET.{_SETTINGS}.$KV.{streams.SETTINGS_BUCKET}.{key}"
                for key in (subjects.host_settings_key(host), subjects.new_hosts_settings_key())
            ),
        ],
        "subscribe": [
            f"{host_inbox(host)}.>",
            subjects.host_settings(host),
            subjects.tabs(host),
            subjects.command_to_hosts("*"),
            f"{subjects.COMMANDS}.host.{token}.*",
        ],
        "allow_responses": ANSWERS,
    }


def api_permissions() -> dict[str, Any]:
    """The API: orders out; samples, outcomes, use of tokens in; settings, exports and waiting commands to look at."""
    return {
        "publish": [
            f"{subjects.COMMANDS}.aggregator.*",
            f"{subjects.TABS}.*",
            subjects.access_used(),
            f"$JS.API.STREAM.INFO.{streams.COMMANDS}",
            f"$JS.API.STREAM.MSG.GET.{streams.COMMANDS}",
            f"$JS.API.DIRECT.GET.{_SETTINGS}.>",
            f"$JS.API.DIRECT.GET.{_EXPORTS}",
            f"$JS.API.DIRECT.GET.{_EXPORTS}.>",
        ],
        "subscribe": [
            f"{service_inbox('api')}.>",
            f"{subjects.LIVE}.*",
            f"{subjects.OUTCOMES}.>",
            f"{subjects.COMMANDS}.services.*",
            f"{subjects.SETTINGS}.>",
            f"{subjects.ACCESS}.*",
        ],
        "allow_responses": ANSWERS,
    }


def aggregator_permissions() -> dict[str, Any]:
    """The aggregator owns the streams: everything within the account."""
    return {"publish": [">"], "subscribe": [">"]}
