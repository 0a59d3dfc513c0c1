"""A client made from the OpenAPI document by a generator that knows nothing of this project: it reads every answer."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netally.api.app import wall_clock
from tests.api_in_process import TOKEN
from tests.api_process import api_process
from tests.stored_traffic import MINUTE, make_traffic, store

PACKAGE = "netally_generated_client"
WITHOUT_AGGREGATOR = ("api_config_show",)
"""What nobody answers here."""
IN_ADDRESS = {"app_id": 1, "domain_id": 1, "host_id": 1, "limit": 3}
CONFIG = """
post_hooks: []
"""


async def generate(document: dict[str, Any], directory: Path) -> None:
    (directory / "openapi.json").write_text(json.dumps(document))
    (directory / "config.yml").write_text(CONFIG)
    program = Path(sys.executable).with_name("openapi-python-client")
    done = await asyncio.to_thread(
        subprocess.run,
        [
            *(str(program), "generate", "--path", "openapi.json", "--config", "config.yml", "--meta", "none"),
            *("--output-path", PACKAGE, "--fail-on-warning"),
        ],
        cwd=directory,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    # A warning is a part of the document that it cannot make anything of.
    assert done.returncode == 0, done.stdout + done.stderr


def operations() -> Iterator[tuple[str, Any]]:
    """Name and module of every operation that changes nothing and ends by itself."""
    package = importlib.import_module(f"{PACKAGE}.api.default")
    for found in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{PACKAGE}.api.default.{found.name}")
        parameters = inspect.signature(module._get_kwargs).parameters
        required = {name for name, one in parameters.items() if one.default is one.empty}
        arguments = {name: IN_ADDRESS[name] for name in required if name in IN_ADDRESS}
        asked = module._get_kwargs(**arguments) if required == set(arguments) else {"method": ""}
        if asked["method"] == "get" and asked["url"] not in ("/api/live", "/metrics", "/api/asyncapi.json"):
            yield found.name, (module, arguments)


async def test_every_answer_is_read(
    migrated_database_url: str, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = wall_clock() // MINUTE * MINUTE
    await store(migrated_database_url, make_traffic(seed=4, end=now, minutes=30))
    async with api_process(migrated_database_url, nats_url) as api:
        await generate((await api.client.get("/api/openapi.json")).json(), tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        made = importlib.import_module(PACKAGE)
        problem = importlib.import_module(f"{PACKAGE}.models").Problem
        client = made.AuthenticatedClient(base_url=f"http://127.0.0.1:{api.port}", token=TOKEN)
        names = []
        async with client:
            for name, (module, arguments) in operations():
                answer = await module.asyncio_detailed(client=client, **arguments)
                wanted = 503 if name in WITHOUT_AGGREGATOR else 200
                assert answer.status_code == wanted, (name, answer.content)
                assert answer.parsed is not None, name
                assert isinstance(answer.parsed, problem) == (wanted == 503), name
                names.append(name)
            assert len(names) > 30
            from_client = importlib.import_module(f"{PACKAGE}.api.default.api_applications_applications")
            found = await from_client.asyncio(client=client, limit=3, filter_="app ~ app*")
            asked = (await api.client.get("/api/applications", params={"limit": 3, "filter": "app ~ app*"})).json()
            assert [row.to_dict() for row in found.applications] == asked["applications"] != []
            refused = await from_client.asyncio(client=client, filter_="app =")
            assert isinstance(refused, problem)
            assert (refused.status, refused.parameter) == (400, "filter")
        async with made.AuthenticatedClient(base_url=f"http://127.0.0.1:{api.port}", token="wrong") as stranger:
            assert (await from_client.asyncio(client=stranger)).status == 401
