"""Netally's own services as programs: what each is told, and how it says that it is ready."""

from __future__ import annotations

import json
import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from netally.cli.programs import Program, Readiness
from netally.cli.settings import CliSettings

SECRETS = ("NETALLY_NATS_URL", "NETALLY_DATABASE_URL", "NETALLY_ADMIN_TOKEN")
"""Variables that go only to the services that need them."""


def service_programs(
    settings: CliSettings, environ: Mapping[str, str], links: Mapping[str, str], seeds: Mapping[str, Path]
) -> list[Program]:
    """Aggregator, API, web and capture, in this order. ``environ`` is this process's environment, ``links`` holds
    `SECRETS` and settings that were decided here, ``seeds`` the files by which services show the bus who they are.
    """
    base = {name: value for name, value in environ.items() if name not in SECRETS}
    if base.get("NETALLY_CONFIG"):
        base["NETALLY_CONFIG"] = os.path.abspath(base["NETALLY_CONFIG"])  # noqa: PTH100  (services start in /)
    base |= {name: value for name, value in links.items() if name not in SECRETS}
    base |= {"NETALLY_DATA_DIR": str(settings.directory), "NETALLY_API_URL": settings.api_base, "PYTHONUNBUFFERED": "1"}

    def program(name: str, title: str, needs: tuple[str, ...], ready: Readiness, stop_within: float) -> Program:
        return Program(
            name=name,
            title=title,
            argv=[sys.executable, "-m", f"netally.{name}"],
            environ=base
            | {secret: links[secret] for secret in needs}
            | ({"NETALLY_NATS_SEED_FILE": str(seeds[name])} if name in seeds else {}),
            ready=ready,
            stop_within=stop_within,
        )

    bus, database, _ = SECRETS
    urls = readiness_urls(settings)
    return [
        program("aggregator", "Aggregator", (bus, database), answers_ready(urls["aggregator"]), 30),
        program("api", "API", SECRETS, answers_ready(urls["api"]), 10),
        program("web", "Web", (), answers_ready(urls["web"]), 10),
        program("capture", "Capture", (bus,), answers_ready(urls["capture"]), 15),
    ]


def readiness_urls(settings: CliSettings) -> dict[str, str]:
    """Where each service says whether it is ready; empty for one whose probes are switched off."""
    return {
        "aggregator": f"http://127.0.0.1:{settings.aggregator_port}/readyz" if settings.aggregator_port else "",
        "api": f"{settings.api_base}/api/ready",
        "web": f"{settings.web_base}/readyz",
        "capture": f"http://127.0.0.1:{settings.capture_port}/readyz" if settings.capture_port else "",
    }


def answers_ready(url: str) -> Readiness:
    """Readiness by a probe over HTTP. Without a URL the program counts as ready once it runs."""

    async def ready(_: int) -> str:
        return await ask(url) if url else ""

    return ready


async def ask(url: str) -> str:
    """Empty when the probe answers 200, else why not, in plain words."""
    try:
        # No proxy from the environment: these are our own ports.
        async with httpx.AsyncClient(trust_env=False, timeout=5, verify=_any_certificate()) as client:
            answer = await client.get(url)
    except httpx.HTTPError:
        return "it does not answer yet"
    return "" if answer.status_code == 200 else reason_in(answer.text, answer.status_code)


def _any_certificate() -> ssl.SSLContext:
    """A probe tells no secret, and a certificate is for the name that others know the service by."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def reason_in(body: str, status: int) -> str:
    """What a probe says it waits for: ``{"waiting_for": {part: reason}}`` or ``{"parts": [{name, ready, reason}]}``."""
    try:
        answer = json.loads(body)
        waiting: dict[str, str] = dict(answer.get("waiting_for") or {})
        waiting |= {part["name"]: part["reason"] for part in answer.get("parts", []) if not part["ready"]}
    except (ValueError, TypeError, KeyError, AttributeError):
        waiting = {}
    return "; ".join(f"{name}: {reason}" for name, reason in waiting.items()) or f"it answers with status {status}"
