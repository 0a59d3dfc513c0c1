"""A command ordered by each of the four ways: a raw client of the bus, the API, `netally`, its page.

Every way takes a command's name and arguments and gives its end: state, message, result.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
import nats
from playwright.sync_api import Locator, Page, expect

from netally.contracts.flow import FlowsObserved
from netally.web.operations import SET_BY_HAND
from tests.aggregator_process import publish
from tests.netally_up import NETALLY, Up
from tests.ordering import Orders

T = TypeVar("T")
WAYS = ("bus", "api", "cli", "page")


def elsewhere(work: Coroutine[Any, Any, T]) -> T:
    """Run it in a thread: Playwright has a loop of its own in this one."""
    with ThreadPoolExecutor(1) as one:
        return one.submit(asyncio.run, work).result()


class Stack:
    """A running `netally up`, asked and told from outside."""

    def __init__(self, up: Up, host: str, page: Page, files: Path) -> None:
        self.up = up
        self.host = host
        self.page = page
        self.files = files
        self.api = httpx.Client(
            base_url=f"http://127.0.0.1:{up.ports['API']}",
            headers={"Authorization": f"Bearer {up.token}"},
            trust_env=False,
            timeout=60,
        )

    def sql(self, statement: str, *values: Any) -> Any:
        """First value of a statement's answer."""

        async def ask() -> Any:
            connection = await asyncpg.connect((self.up.data / "database-url").read_text().strip())
            try:
                return await connection.fetchval(statement, *values)
            finally:
                await connection.close()

        return elsewhere(ask())

    def send(self, batch: FlowsObserved) -> None:
        """Publish a batch, as an agent does."""

        async def work() -> None:
            client = await nats.connect((self.up.data / "nats-url").read_text().strip())
            await publish(client.jetstream(), batch)
            await client.close()

        elsewhere(work())

    def order(self, way: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The command at its end."""
        done: dict[str, Any] = getattr(self, f"by_{way}")(name, arguments)
        assert done["state"] == "succeeded", done
        return done

    # --- the ways -----------------------------------------------------------------------------------------------

    def by_bus(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        async def work() -> dict[str, Any]:
            client = await nats.connect((self.up.data / "nats-url").read_text().strip())
            orders = Orders(client)
            await orders.listen()
            done = await orders.run(name, arguments)
            await client.close()
            return {"id": done.command_id, "state": done.state, "message": done.message, "result": done.result}

        return elsewhere(work())

    def by_api(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        wait = {"wait": 30}
        if name in ("aggregate", "cleanup", "refresh-cache"):
            answer = self.api.post(f"/api/config/{name}", params=wait, json=arguments)
        elif name == "set-config":
            answer = self.api.put("/api/config", params=wait, json=arguments)
        else:
            answer = self.api.post("/api/commands", params=wait, json={"name": name, "arguments": arguments})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def netally(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NETALLY_")}
        environment |= {
            "NETALLY_API_URL": str(self.api.base_url), "NETALLY_ADMIN_TOKEN": self.up.token,
            "NETALLY_DATA_DIR": str(self.files),
        }  # fmt: skip
        return subprocess.run([NETALLY, *words], env=environment, capture_output=True, text=True, check=False)

    def by_cli(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        words: list[str] = []
        for key, value in arguments.items():
            if key in ("hosts", "interval", "target", "level", "rules"):
                words += value if isinstance(value, list) else [str(value)]
            else:
                words += [f"--{key.replace('_', '-')}", str(value)]
        if name == "set-interval":
            words.sort(key=lambda word: not word.isdecimal())
        done = self.netally("run", "--json", name, *words, *(("--yes",) if name == "purge" else ()))
        assert done.returncode == 0, done
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def by_page(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.page.goto("/settings" if name in SET_BY_HAND else "/operations")
        form = self.page.locator(f"form[action='/operations/{name}']")
        values = dict(arguments)
        if name in ("pause", "resume", "set-interval"):
            (host,) = values.pop("hosts")
            form = form.filter(has=self.page.locator(f"input[name=hosts][value='{host}']"))
        if name == "purge":
            ((dimension, called),) = values.items()
            values = {"dimension": dimension, "name": called}
        form = form.first
        for key, value in values.items():
            self._enter(form, key, value)
        form.get_by_role("button").click()
        self._ended()
        confirm = self.page.locator("form[action$='/confirm']")
        if confirm.count():
            size = confirm.locator("input[name=size]")
            if size.count():
                size.fill(confirm.locator("label b").inner_text())
            confirm.get_by_role("button").click()
            expect(confirm).to_have_count(0)
            self._ended()
        answer = self.api.get(f"/api/commands/{self.page.url.rpartition('/')[2]}")
        found: dict[str, Any] = answer.json()["command"]
        return found

    def _enter(self, form: Locator, key: str, value: Any) -> None:
        field = form.locator(f"[name={key}]")
        if field.first.get_attribute("type") == "radio":
            field.and_(form.locator(f"[value={value}]")).check(force=True)
        elif field.evaluate("each => each.tagName") == "SELECT":
            field.select_option(str(value))
        elif field.get_attribute("type") == "datetime-local":
            field.fill(f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%dT%H:%M}")
        else:
            field.fill(str(value))

    def _ended(self) -> None:
        self.page.wait_for_url(re.compile("/operations/commands/"))
        expect(self.page.locator("[hx-sse\\:connect]")).to_have_count(0, timeout=30_000)

    # --- exports ------------------------------------------------------------------------------------------------

    def export(self, way: str, arguments: dict[str, Any]) -> bytes:
        """The file as it arrives by this way."""
        if way == "api":
            answer = self.api.get("/api/export", params=arguments)
            assert answer.status_code == 200, answer.text
            return answer.content
        if way == "cli":
            file = self.files / "export"
            words = [word for key, value in arguments.items() for word in (f"--{key}", str(value))]
            done = self.netally("export", *words, "-o", str(file))
            assert done.returncode == 0, done
            return file.read_bytes()
        done_ = self.order(way, "export", arguments)
        if way == "page":
            with self.page.expect_download() as download:
                self.page.get_by_role("link", name="Download").click()
            return Path(download.value.path()).read_bytes()

        async def fetch() -> bytes:
            client = await nats.connect((self.up.data / "nats-url").read_text().strip())
            store = await client.jetstream().object_store("exports")
            data = (await store.get(done_["result"]["file"])).data
            await client.close()
            assert data is not None
            return data

        return elsewhere(fetch())
