"""``GET /api/about``: versions, the database, how long figures are kept."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency

from netally.api.bus import LiveBus
from netally.api.database import Database
from netally.api.problems import UNAUTHORIZED, UNAVAILABLE
from netally.api.reading import visible_fleet
from netally.api.state import VERSION
from netally.api.visible import VisibleHosts
from netally.api.wanted_settings import wanted
from netally.bus import subjects
from netally.contracts.live_settings import AggregatorConfig, Retention
from netally.contracts.queries import AboutAnswer, TierAbout

_TIER_OF = {"raw": "raw", "1m": "minutes", "1h": "hours", "1d": "days"}


@get("/api/about", summary="Versions, database, retention", responses={**UNAUTHORIZED, **UNAVAILABLE})
async def about(
    database: NamedDependency[Database], bus: NamedDependency[LiveBus], visible: NamedDependency[VisibleHosts]
) -> AboutAnswer:
    """What runs here, and from when on each tier has figures."""
    async with database.read("Ask again in a moment.") as (rows, _):
        deployment = (await rows("about"))[0]
        tiers = await rows("tiers_about")
        agents = [row for row in await visible_fleet(rows, visible) if row["kind"] == "agent"]
    config = await wanted(bus, subjects.service_settings_key("aggregator"), AggregatorConfig())
    retention = config.retention_in_force() if config else None
    version = f"PostgreSQL {deployment['server_version']}"
    if deployment["timescaledb_version"]:
        version += f", TimescaleDB {deployment['timescaledb_version']}"
    return AboutAnswer(
        version=VERSION,
        backend=deployment["backend"],
        database_version=version,
        timezone=deployment["timezone"],
        created_at=deployment["created_at"],
        tiers=[
            TierAbout(
                name=row["name"],
                dropped_before=row["dropped_before"],
                stored_until=row["watermark"],
                retention_days=_days(retention, row["name"]),
            )
            for row in tiers
        ],
        retention_known=retention is not None,
        hosts=len(agents),
        agent_versions=sorted({row["version"] for row in agents if row["version"]}),
    )


def _days(retention: Retention | None, tier: str) -> int | None:
    found: int | None = getattr(retention, _TIER_OF[tier], None)
    return found
