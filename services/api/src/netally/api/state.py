"""``/api/health``, ``/api/ready`` and ``/metrics``."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from netally.api.bus import LiveBus
from netally.api.database import Database
from netally.api.guarding import is_direct_from_loopback
from netally.api.problems import UNAUTHORIZED
from netally.contracts.queries import HealthAnswer, PartState

VERSION = version("netally-api")


AWAY = "It cannot be used now; the log of the API says why, and this address to who asks from the same machine."
"""For who asks from elsewhere without credentials: where the servers are is not everybody's business."""


async def _answer(request: Request[Any, Any, Any], database: Database, bus: LiveBus) -> HealthAnswer:
    near = is_direct_from_loopback(request)
    reasons = {"database": await database.check(), "bus": bus.reason}
    parts = [
        PartState(name=name, ready=not reason, reason=reason if near or not reason else AWAY)
        for name, reason in reasons.items()
    ]
    return HealthAnswer(ready=all(part.ready for part in parts), parts=parts, version=VERSION)


@get("/api/health", summary="The process lives")
async def health(
    request: Request[Any, Any, Any], database: NamedDependency[Database], bus: NamedDependency[LiveBus]
) -> HealthAnswer:
    """Always 200; `ready` and `parts` say whether queries can be answered."""
    return await _answer(request, database, bus)


@get(
    "/api/ready",
    summary="Queries can be answered",
    responses={503: ResponseSpec(HealthAnswer, description="A part is not ready; `parts` says which")},
)
async def ready(
    request: Request[Any, Any, Any], database: NamedDependency[Database], bus: NamedDependency[LiveBus]
) -> Response[HealthAnswer]:
    """200 when all parts are ready, else 503; `parts` says what is waited for."""
    answer = await _answer(request, database, bus)
    return Response(answer, status_code=200 if answer.ready else 503)


@get(
    "/metrics",
    summary="Prometheus metrics",
    responses=UNAUTHORIZED,
    media_type="text/plain",
)
async def prometheus() -> Response[bytes]:
    """Open to this machine, else with credentials."""
    # Litestar adds the charset to text by itself.
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8"))
