"""``/api/config``: settings, wanted and actual, and the operations that scripts know by these addresses."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from netally.api.command_bus import ADVICE, BUS_TROUBLE, CommandBus
from netally.api.commands import ACCEPTED, ORDER_PROBLEMS, IdempotencyKey, Wait, answer, with_times
from netally.api.database import Database
from netally.api.documents import BodyMayBeLeftOut
from netally.api.problems import QUERY_PROBLEMS, unavailable
from netally.api.visible import VisibleHosts
from netally.bus import settings_bucket, subjects
from netally.contracts.command_answers import (
    AggregateBody,
    CleanUpBody,
    CommandRow,
    ConfigAnswer,
    HostConfig,
    RefreshCacheBody,
    RetentionBody,
)
from netally.contracts.live_settings import AggregatorConfig, HostSettings, ServiceConfig
from netally.contracts.queries import Session
from netally.contracts.wire import UndecodableError


@post(
    "/api/config/aggregate",
    status_code=200,
    operation_class=BodyMayBeLeftOut,
    summary="Bring the rollups up to date",
    responses={**ORDER_PROBLEMS, **ACCEPTED},
)
async def aggregate(
    request: Request[Any, Session, Any],
    command_bus: NamedDependency[CommandBus],
    database: NamedDependency[Database],
    data: JSONBody[AggregateBody | None] = None,
    wait: Wait = 0.0,
    idempotency_key: IdempotencyKey = None,
) -> Response[CommandRow]:
    """The same as the command `aggregate`."""
    arguments = _given(data)
    row = await command_bus.order(
        "aggregate",
        await with_times(database, arguments),
        by=request.auth,
        key=idempotency_key,
        wait=wait,
    )
    return answer(row)


@post(
    "/api/config/cleanup",
    status_code=200,
    operation_class=BodyMayBeLeftOut,
    summary="Apply the retention now",
    responses={**ORDER_PROBLEMS, **ACCEPTED},
)
async def cleanup(
    request: Request[Any, Session, Any],
    command_bus: NamedDependency[CommandBus],
    data: JSONBody[CleanUpBody | None] = None,
    wait: Wait = 0.0,
    idempotency_key: IdempotencyKey = None,
) -> Response[CommandRow]:
    """The same as the command `cleanup`; with `dry_run` it tells what would go."""
    row = await command_bus.order(
        "cleanup",
        {},
        by=request.auth,
        dry_run=data is not None and data.dry_run,
        key=idempotency_key,
        wait=wait,
    )
    return answer(row)


@post(
    "/api/config/refresh-cache",
    status_code=200,
    operation_class=BodyMayBeLeftOut,
    summary="Forget what is remembered, everywhere",
    responses={**ORDER_PROBLEMS, **ACCEPTED},
)
async def refresh_cache(
    request: Request[Any, Session, Any],
    command_bus: NamedDependency[CommandBus],
    data: JSONBody[RefreshCacheBody | None] = None,
    wait: Wait = 0.0,
    idempotency_key: IdempotencyKey = None,
) -> Response[CommandRow]:
    """The same as the command `refresh-cache`."""
    row = await command_bus.order("refresh-cache", _given(data), by=request.auth, key=idempotency_key, wait=wait)
    return answer(row)


def _given(data: msgspec.Struct | None) -> dict[str, Any]:
    """Fields of a body that are there."""
    found: dict[str, Any] = {} if data is None else msgspec.to_builtins(data)
    return {name: value for name, value in found.items() if value is not None}


@put("/api/config", status_code=200, summary="Change settings", responses={**ORDER_PROBLEMS, **ACCEPTED})
async def change(
    request: Request[Any, Session, Any],
    command_bus: NamedDependency[CommandBus],
    data: JSONBody[dict[str, Any]],
    wait: Wait = 10.0,
    dry_run: Annotated[bool, QueryParameter(name="dry_run", description="Only tell what would change")] = False,
    idempotency_key: IdempotencyKey = None,
) -> Response[CommandRow]:
    """The command `set-config`: what is absent stays as it is; with `dry_run` it tells what would change."""
    row = await command_bus.order("set-config", data, by=request.auth, dry_run=dry_run, key=idempotency_key, wait=wait)
    return answer(row)


@get("/api/config", summary="Settings, wanted and actual", responses=QUERY_PROBLEMS)
async def show(
    command_bus: NamedDependency[CommandBus],
    database: NamedDependency[Database],
    visible: NamedDependency[VisibleHosts],
) -> ConfigAnswer:
    """Of the aggregator, the API and every host that has reported."""
    js = command_bus.client().jetstream()
    async with database.read(ADVICE) as (rows, _):
        agents = [row for row in await rows("agents_to_command") if visible.sees(row["name"])]
    try:
        own = (await settings_bucket.read(js, subjects.service_settings_key("aggregator"), AggregatorConfig))[0]
        api = (await settings_bucket.read(js, subjects.service_settings_key("api"), ServiceConfig))[0]
        new_hosts, _ = await settings_bucket.read(js, subjects.new_hosts_settings_key(), HostSettings)
        default = new_hosts or HostSettings()
        hosts = []
        for agent in agents:
            wanted, _ = await settings_bucket.read(js, subjects.host_settings_key(agent["name"]), HostSettings)
            hosts.append(_host(agent, wanted or default))
    except UndecodableError as error:
        raise unavailable(f"Settings on the bus cannot be read: {error}.") from None
    except BUS_TROUBLE as error:
        raise unavailable(f"The bus did not tell the settings: {error or type(error).__name__}.") from None
    config = own or AggregatorConfig()
    kept = config.retention_in_force()
    return ConfigAnswer(
        version=config.version,
        retention=None if kept is None else RetentionBody(kept.raw, kept.minutes, kept.hours, kept.days),
        ledger_days=config.ledger_days,
        answer_seconds=config.answer_seconds,
        log_levels={"aggregator": config.log_level, "api": (api or ServiceConfig()).log_level},
        hosts=hosts,
        naming_rules=default.naming_rules,
    )


def _host(agent: Any, wanted: HostSettings) -> HostConfig:
    return HostConfig(
        host=agent["name"],
        desired_version=wanted.version,
        actual_version=agent["settings_version"],
        desired_paused=wanted.paused,
        actual_paused=agent["paused"],
        desired_interval=wanted.interval,
        actual_interval=agent["interval_seconds"],
        desired_log_level=wanted.log_level,
        follows=agent["settings_version"] >= wanted.version,
        desired_naming_rules=wanted.naming_rules,
    )
