"""Builders with good defaults: ``make_flow_record(bytes_out=10)`` names only what the test is about."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Sequence
from typing import Any

from netally.contracts.agent import AgentReported, InterfaceState, LiveFlow, LiveSample
from netally.contracts.codes import Cause, DomainSource, Mode, ProcessSource, Role, Scope
from netally.contracts.flow import BATCH_VERSION, App, Coverage, FlowRecord, FlowsObserved, TallyRow

NO_APP = App(name="")
CURL = App(name="curl", executable="/usr/bin/curl", user="ada")
FIREFOX = App(name="firefox", executable="/usr/lib/firefox/firefox", user="ada")

START = 1_795_305_600_000
"""2026-11-22T00:00:00Z, a multiple of every interval."""


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def make_flow_record(**changes: Any) -> FlowRecord:
    values: dict[str, Any] = {
        "app": 1,
        "domain": 1,
        "site": 0,
        "scope": int(Scope.INTERNET),
        "protocol": 6,
        "server_port": 443,
        "role": int(Role.CLIENT),
        "remote": packed("203.0.113.7"),
        "bytes_in": 1_500,
        "bytes_out": 300,
        "packets_in": 3,
        "packets_out": 3,
        "connections": 1,
        "domain_source": int(DomainSource.TLS_SNI),
        "process_source": int(ProcessSource.SOCK_DIAG),
        "retrans": None,
    }
    return FlowRecord(**{**values, **changes})


def make_tally_row(**changes: Any) -> TallyRow:
    values: dict[str, Any] = {
        "interface": "eth0",
        "cause": int(Cause.ATTRIBUTED),
        "bytes_in": 1_500,
        "bytes_out": 300,
        "packets_in": 3,
        "packets_out": 3,
    }
    return TallyRow(**{**values, **changes})


def make_epoch() -> str:
    return uuid.uuid4().hex


def make_batch(
    records: Sequence[FlowRecord] | None = None,
    *,
    apps: Sequence[App] = (CURL,),
    domains: Sequence[str] = ("example.org",),
    tally: Sequence[TallyRow] | None = None,
    **changes: Any,
) -> FlowsObserved:
    """A batch; ``apps`` and ``domains`` are given without entry 0, which is added."""
    interval = changes.get("interval", 5)
    values: dict[str, Any] = {
        "version": BATCH_VERSION,
        "host": "web-1.example.org",
        "epoch": "0" * 32,
        "sequence": 1,
        "start": START,
        "interval": interval,
        "apps": [NO_APP, *apps],
        "domains": ["", *domains],
        "records": [make_flow_record()] if records is None else list(records),
        "coverage": Coverage(mode=int(Mode.PACKETS), measured_ms=interval * 1000),
        "tally": [make_tally_row()] if tally is None else list(tally),
    }
    return FlowsObserved(**{**values, **changes})


def make_agent_report(**changes: Any) -> AgentReported:
    values: dict[str, Any] = {
        "host": "web-1.example.org",
        "time": START,
        "version": "0.1.0",
        "started_at": START - 60_000,
        "mode": "packets",
        "mode_reason": "",
        "interval": 5,
        "paused": False,
        "interfaces": [InterfaceState(name="eth0", addresses=["192.0.2.2"], captured=True)],
        "epoch": "0" * 32,
        "sequence": 1,
        "spool_batches": 0,
        "spool_bytes": 0,
    }
    return AgentReported(**{**values, **changes})


def make_live_sample(**changes: Any) -> LiveSample:
    values: dict[str, Any] = {
        "host": "web-1.example.org",
        "time": START,
        "span_ms": 1_000,
        "bytes_in": 1_000_000,
        "bytes_out": 100_000,
        "packets_in": 800,
        "packets_out": 400,
        "flows": [
            LiveFlow(app="curl", domain="example.org", remote="203.0.113.7", bytes_in=1_000_000, bytes_out=100_000)
        ],
    }
    return LiveSample(**{**values, **changes})
