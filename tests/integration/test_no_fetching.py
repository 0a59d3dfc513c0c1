"""Nothing that comes in makes a service fetch an address (SSRF): a trap listens, and its address is given everywhere.

Pages, API and aggregator run as processes on a real bus and database. Each parameter and field of each operation of the
document, each argument of each command, headers and request targets get the trap's address in several forms.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

import netally.web
from netally.contracts.commands import COMMANDS
from netally.web.app import create_app as create_pages
from netally.web.settings import WebSettings
from tests.access_tokens import bearer
from tests.aggregator_process import AggregatorProcess
from tests.api_in_process import TOKEN
from tests.services import NatsServer, eventually
from tests.site_process import Site, site

METHODS = ("get", "post", "put", "patch", "delete")
HEADERS = (
    "Host", "X-Forwarded-Host", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Original-URL", "X-Rewrite-URL",
    "Referer", "Via", "Destination", "X-Api-Url", "Proxy",
)  # fmt: skip
TEMPLATES = Path(netally.web.__file__).parent / "templates"
PAGE_PARAMETERS = (
    "back", "next", "url", "path", "target", "host", "filter", "range", "from", "to", "code", "api", "domain", "text",
)  # fmt: skip


class Trap:
    """Whoever connects is kept."""

    def __init__(self) -> None:
        self.port = 0
        self.caught: list[bytes] = []

    def addresses(self) -> list[str]:
        near = f"127.0.0.1:{self.port}"
        return [
            f"http://{near}/trap", f"https://localhost:{self.port}/trap", f"http://[::1]:{self.port}/trap",
            f"//{near}/trap", near, f"nats://{near}", f"postgresql://{near}/x", f"ftp://{near}/x",
        ]  # fmt: skip

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.caught.append(b"")
        place = len(self.caught) - 1
        try:
            async with asyncio.timeout(2):
                self.caught[place] = await reader.read(1000)
        finally:
            writer.close()


@asynccontextmanager
async def listening() -> AsyncIterator[Trap]:
    trap = Trap()
    server = await asyncio.start_server(trap.take, "127.0.0.1", 0)
    trap.port = server.sockets[0].getsockname()[1]
    other = await asyncio.start_server(trap.take, "::1", trap.port)
    try:
        yield trap
    finally:
        server.close()
        other.close()


@pytest.fixture
async def at(nats_server: NatsServer, migrated_database_url: str) -> AsyncIterator[Site]:
    aggregator = AggregatorProcess(nats_server.url, migrated_database_url)
    aggregator.start()
    try:
        await aggregator.ready()
        async with site(NETALLY_DATABASE_URL=migrated_database_url, NETALLY_NATS_URL=nats_server.url) as running:

            async def is_ready() -> bool:
                return (await running.api.client.get("/api/ready")).status_code == 200

            await eventually(is_ready, within=30)
            yield running
    finally:
        aggregator.kill()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, list[str], list[str]]]:
    """Method, path, names of query parameters, names of the body's fields."""
    schemas = document["components"]["schemas"]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method not in METHODS:
                continue
            parameters = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
            fields: list[str] = []
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for part in [content["schema"], *content["schema"].get("oneOf", [])]:
                    named = schemas.get(part.get("$ref", "").rpartition("/")[2], part)
                    fields += named.get("properties", {})
            yield method, path, parameters, fields


async def send(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> int:
    """Status; 0 for a live stream, which is left at once."""
    async with client.stream(method, path, **more) as answer:
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return 0
        await answer.aread()
        assert answer.status_code != 500, (method, path, more, answer.text)
        return answer.status_code


@pytest.mark.timeout(240)
async def test_no_address_that_is_given_is_fetched(at: Site) -> None:
    document = (await at.api.client.get("/api/openapi.json")).json()
    async with listening() as trap:
        given = 0
        first, *_ = addresses = trap.addresses()
        mine = {**bearer(TOKEN), "Origin": at.url}
        # Through the pages' proxy, so that both are asked.
        for method, path, parameters, fields in operations(document):
            filled = re.sub(r"{.*?}", httpx.QueryParams({"x": first}).__str__()[2:], path)
            for name in parameters:
                for address in addresses[:: 1 if name in ("filter", "text", "host") else 3]:
                    await send(at.client, method, re.sub(r"{.*?}", "1", path), params={name: address}, headers=mine)
                    given += 1
            for name in fields:
                for value in (first, [first], {"url": first}):
                    await send(at.client, method, filled, json={name: value}, headers=mine)
                    given += 1
            await send(at.client, method, filled, json=dict.fromkeys(fields, first) if fields else None, headers=mine)
        for name, kind in COMMANDS.items():
            for field in kind.arguments.__struct_fields__:
                for value in (first, [first]):
                    body = {"name": name, "arguments": {field: value}, "dry_run": kind.previews}
                    await send(at.client, "post", "/api/commands", json=body, headers=mine)
                    given += 1
        for address in addresses:
            tab = {"browser": "Firefox", "version": "1", "tabs": [{"domain": address, "seconds": 1}]}
            await send(at.client, "post", "/api/browser/active-tab", json=tab, headers=bearer(TOKEN))
        given += await pages_and_headers(at, trap)
        await raw_targets(at, trap)
        # Whatever was ordered is done by now.
        done = {"name": "refresh-cache", "arguments": {}}
        answer = await at.api.client.post("/api/commands", params={"wait": 20}, json=done, timeout=40)
        assert answer.json()["state"] == "succeeded", answer.text
        assert given > 500
        assert trap.caught == []
        # The trap catches: this is what a fetch would look like.
        async with httpx.AsyncClient(trust_env=False) as fetching:
            with pytest.raises(httpx.HTTPError):
                await fetching.get(first)
        assert len(trap.caught) == 1


async def pages_and_headers(at: Site, trap: Trap) -> int:
    first = trap.addresses()[0]
    given = 0
    routes = {
        route.path for route in create_pages(WebSettings()).routes if not route.path.startswith(("/api", "/static"))
    }
    # Every field of every form, and a login that succeeds: what is behind that is reached as well.
    texts = [path.read_text("utf-8") for path in TEMPLATES.glob("*.j2")]
    fields = {name for text in texts for name in re.findall(r'name="([a-z_]+)"', text)} | set(PAGE_PARAMETERS)
    assert {"secret", "back"} <= fields
    for path in sorted(routes):
        address = re.sub(r"{.*?}", "1", path)
        await send(at.client, "get", address, params=dict.fromkeys(PAGE_PARAMETERS, first), headers=bearer(TOKEN))
        for more in ({}, {"secret": TOKEN}):
            posted = {**dict.fromkeys(sorted(fields), first), **more}
            await send(at.client, "post", address, data=posted, headers={**bearer(TOKEN), "Origin": at.url})
            given += len(posted)
    for url in (at.url, f"http://127.0.0.1:{at.api.port}"):
        async with httpx.AsyncClient(base_url=url, trust_env=False, headers=bearer(TOKEN)) as client:
            for header in HEADERS:
                for address in trap.addresses():
                    await send(client, "get", "/api/hosts", headers={header: address.replace("[", "").replace("]", "")})
                    given += 1
    return given


async def raw_targets(at: Site, trap: Trap) -> None:
    """Request targets as a proxy gets them, which no client library sends."""
    near = f"127.0.0.1:{trap.port}"
    for port in (urlsplit(at.url).port, at.api.port):
        for method, target in (
            ("GET", f"http://{near}/trap"), ("GET", f"http://{near}/api/hosts"), ("GET", f"//{near}/api/hosts"),
            ("GET", f"/api//{near}/"), ("GET", f"/api/@{near}/"), ("GET", f"/api/http://{near}/"),
            ("GET", f"@{near}/api"), ("GET", f"/api/hosts?url=http://{near}/"), ("CONNECT", near),
        ):  # fmt: skip
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            lines = [
                f"{method} {target} HTTP/1.1",
                f"Host: {near}",
                f"Authorization: Bearer {TOKEN}",
                "Connection: close",
            ]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            async with asyncio.timeout(10):
                answered = await reader.read(200)
            assert re.match(rb"HTTP/1.1 [2345]", answered), (target, answered)
            assert b" 500 " not in answered.splitlines()[0], (target, json.dumps(answered.decode("latin-1")))
            writer.close()
