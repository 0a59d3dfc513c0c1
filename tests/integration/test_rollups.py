"""Every tier equals a full recomputation from raw, whatever came in what order, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from netally.store import retention
from netally.store.retention import Ages
from netally.store.rollups import exclusive, refresh, refresh_outstanding
from netally.store.tiers import DAY, HOUR, MINUTE, SECOND
from tests.history_model import CoverageRow, FlowRow, History, TabRow, TallyRow, differences
from tests.timescale.fixtures import ZONE, HistoryDatabases

AGES = Ages(raw=2, minutes=3, hours=5, days=None)
"""Short, so that a sequence of a few days goes through every retention."""

STARTS = (
    int(datetime(2026, 11, 22, 10, 30, tzinfo=UTC).timestamp()) * SECOND,
    # The night in which summer time ends, and the one in which it begins.
    int(datetime(2026, 10, 24, 21, 10, tzinfo=UTC).timestamp()) * SECOND,
    int(datetime(2026, 3, 28, 22, 50, tzinfo=UTC).timestamp()) * SECOND,
)

LATENESS = st.sampled_from((0, 5 * SECOND, 50 * SECOND, 7 * MINUTE, 3 * HOUR, 20 * HOUR))


@st.composite
def ingests(draw: st.DrawFn) -> tuple[str, list[tuple[int, int, int, int, int, int | None]]]:
    row = st.tuples(
        LATENESS,
        st.integers(1, 2),
        st.integers(0, 2),
        st.integers(0, 2),
        st.integers(0, 10**12),
        st.sampled_from((None, 0, 1448)),
    )
    return "ingest", draw(st.lists(row, min_size=1, max_size=6))


STEPS = st.one_of(
    ingests(),
    ingests(),
    st.tuples(st.just("wait"), st.sampled_from((4 * SECOND, 30 * SECOND, 90 * SECOND, 2 * HOUR, 25 * HOUR))),
    st.tuples(st.just("outstanding"), st.none()),
    st.tuples(
        st.just("refresh"),
        st.tuples(st.sampled_from(("1m", "1h", "1d")), st.integers(0, 4 * DAY), st.integers(0, 3 * DAY)),
    ),
    st.tuples(st.just("retention"), st.none()),
    st.tuples(st.just("purge"), st.tuples(st.sampled_from(("host", "app", "domain")), st.integers(1, 2))),
)


async def run(databases: HistoryDatabases, start: int, steps: list[tuple[str, object]]) -> None:
    history = History(ZONE)
    now = start
    async with databases.pool() as pool:
        for name, argument in steps:
            match name, argument:
                case "ingest", list(rows):
                    await ingest(pool, databases.backend, history, now, rows)
                case "wait", int(duration):
                    now += duration
                case _:
                    async with exclusive(pool, wait=True) as connection:
                        assert connection is not None
                        await maintain(connection, history, now, name, argument)
        async with exclusive(pool, wait=True) as connection:
            assert connection is not None
            await refresh_outstanding(connection, now, ZONE)
            assert await differences(connection, history) == {}


async def ingest(pool: asyncpg.Pool, backend: str, history: History, now: int, rows: list[tuple[int, ...]]) -> None:
    flows = []
    for lateness, host, app, domain, amount, retrans in rows:
        at = (now - lateness) // (5 * SECOND) * 5 * SECOND
        flows.append(
            FlowRow(
                time=at,
                host_id=host,
                app_id=app,
                domain_id=domain,
                site_id=domain - 1 if domain else 0,
                server_port=443 if app else 40_000,
                bytes_in=amount,
                retrans=retrans,
                received_at=now,
            )
        )
    hosts = {(row.time, row.host_id) for row in flows}
    await history.write(
        pool,
        backend,
        flows,
        [CoverageRow(at, host, measured_ms=0 if at % MINUTE == 0 else 5_000) for at, host in hosts],
        [TallyRow(at, host, bytes_in=-7 if at % MINUTE == 0 else 1_000) for at, host in hosts],
        [TabRow(row.time, row.host_id, ("Firefox", "Zen")[row.app_id % 2], row.domain_id) for row in flows],
    )


async def maintain(connection: asyncpg.Connection, history: History, now: int, name: str, argument: object) -> None:
    match name, argument:
        case "outstanding", _:
            await refresh_outstanding(connection, now, ZONE)
        case "refresh", (str(tier), int(back), int(length)):
            await refresh(connection, tier, now - back, now - back + length, now, ZONE)
        case "retention", _:
            await retention.apply(connection, AGES, now, ZONE)
        case "purge", (str(dimension), int(gone)):
            await retention.purge(connection, dimension, gone, now, ZONE)
            purge(history, dimension, gone)


def purge(history: History, dimension: str, gone: int) -> None:
    match dimension:
        case "host":
            history.flows = [row for row in history.flows if row.host_id != gone]
            history.coverage = [row for row in history.coverage if row.host_id != gone]
            history.tally = [row for row in history.tally if row.host_id != gone]
            history.tabs = [row for row in history.tabs if row.host_id != gone]
        case "app":
            history.flows = [row for row in history.flows if row.app_id != gone]
        case _:
            kept = [row for row in history.flows if row.domain_id != gone]
            history.flows = [without_site(row) if row.site_id == gone else row for row in kept]
            history.tabs = [row for row in history.tabs if row.site_id != gone]


def without_site(row: FlowRow) -> FlowRow:
    return FlowRow(**{field: getattr(row, field) for field in row.__struct_fields__} | {"site_id": 0})


SEQUENCES = st.lists(STEPS, min_size=5, max_size=14)
COMMON = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], print_blob=True
)


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(COMMON, max_examples=25)
@given(start=st.sampled_from(STARTS), steps=SEQUENCES)
async def test_every_tier_equals_a_recomputation_on_postgresql(
    postgres_databases: HistoryDatabases, start: int, steps: list[tuple[str, object]]
) -> None:
    await run(postgres_databases, start, steps)


# Fewer and not made shorter: each costs seconds on the engine of the tests.
@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(COMMON, max_examples=6, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(start=st.sampled_from(STARTS), steps=SEQUENCES)
async def test_every_tier_equals_a_recomputation_on_timescaledb(
    timescale_databases: HistoryDatabases, start: int, steps: list[tuple[str, object]]
) -> None:
    await run(timescale_databases, start, steps)
