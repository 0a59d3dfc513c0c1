"""Exports ordered with a token for some hosts: whatever it asks, and in whatever way, the file holds no others."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pandas
import pytest
from nats.aio.client import Client

from tests.access_tokens import add_token, bearer
from tests.aggregator_process import AggregatorProcess, publish
from tests.api_in_process import RunningApi, running_api
from tests.builders import START, make_batch, make_epoch, make_flow_record
from tests.services import eventually

SEEN, FOREIGN = "web-1.example.org", "db-1.example.org"
HOUR = 3_600_000
BEGIN = START - 24 * HOUR
SPAN: dict[str, Any] = {"from": BEGIN, "to": BEGIN + HOUR, "tier": "raw"}


class Exports(NamedTuple):
    api: RunningApi
    token: str

    async def limited(self, path: str, **parameters: Any) -> httpx.Response:
        return await self.api.anonymous.get(path, params=parameters, headers=bearer(self.token), timeout=60)


@pytest.fixture
async def exports(
    aggregator: AggregatorProcess, nats_client: Client, nats_url: str, migrated_database_url: str
) -> AsyncIterator[Exports]:
    for host, domain in ((SEEN, "seen.example"), (FOREIGN, "foreign.example")):
        epoch = make_epoch()
        for number in range(6):
            batch = make_batch(
                [make_flow_record(bytes_in=1_000 + number)], host=host, domains=[domain], epoch=epoch,
                sequence=number + 1, start=BEGIN + number * 300_000,
            )  # fmt: skip
            await publish(nats_client.jetstream(), batch)

    async def arrived() -> bool:
        return await aggregator.counter('netally_aggregator_batches_total{outcome="committed"}') == 12

    await eventually(arrived)
    token = await add_token(migrated_database_url, role="operator", hosts=[SEEN])
    async with running_api(migrated_database_url, nats_url) as api:

        async def bus_is_there() -> bool:
            parts = (await api.anonymous.get("/api/health")).json()["parts"]
            return all(part["ready"] for part in parts)

        await eventually(bus_is_there)
        made = Exports(api, token)

        async def token_is_known() -> bool:
            return (await made.limited("/api/about")).status_code == 200

        await eventually(token_is_known)
        yield made


def read(content: bytes) -> tuple[set[str], set[str], int, int]:
    """Hosts, domains, rows and bytes received of a file."""
    frame = pandas.read_csv(io.BytesIO(content))
    return set(frame.host), set(frame.domain), len(frame), int(frame.bytes_in.sum())


ONLY_SEEN = ({SEEN}, {"seen.example"}, 6, 6_015)


async def test_nothing_that_is_asked_widens_it(exports: Exports) -> None:
    for more in (
        {"filter": f"host = {FOREIGN}"}, {"filter": f"not host = {SEEN}"}, {"domain": "foreign.example"},
        {"filter": f"host = {SEEN} or host = {FOREIGN} or bytes > 0"},
    ):  # fmt: skip
        answer = await exports.limited("/api/export", **SPAN, **more)
        assert answer.status_code in (200, 400), answer.text
        if answer.status_code == 200:
            lines = answer.text.splitlines()
            assert not [line for line in lines[1:] if SEEN not in line]
    for asked in ([FOREIGN], [SEEN, FOREIGN]):
        answer = await exports.limited("/api/export", **SPAN, host=asked)
        assert (answer.status_code, b"foreign.example" in answer.content) in ((403, False), (400, False), (404, False))
        order = {"name": "export", "arguments": {**SPAN, "host": asked}}
        posted = await exports.api.anonymous.post("/api/commands", json=order, headers=bearer(exports.token))
        assert posted.status_code in (400, 403, 404), posted.text
    # Ordered as a command, with no host named, it is narrowed as well.
    posted = await exports.api.anonymous.post(
        "/api/commands?wait=30", json={"name": "export", "arguments": SPAN}, headers=bearer(exports.token)
    )
    assert posted.status_code == 200, posted.text
    file = await exports.limited(f"/api/exports/{posted.json()['id']}")
    assert read(file.content) == ONLY_SEEN
