"""Ids of hosts, applications and domains: cached, read when not cached, made when not there.

What is made is made in a transaction of its own before the batch's, so that an id outlives a batch that fails, and
under a lock held by one writer at a time, so that several aggregators neither make a name twice nor burn ids.

Ids are looked up long before they are written, and may be purged meanwhile. So a writer keeps in mind how many purges
there were (`Dimensions.purges`) before it looked them up, and its transaction begins with `Dimensions.hold`, which
makes sure that there were no more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from operator import attrgetter
from typing import Generic, TypeVar, cast

import asyncpg

from netally.contracts.flow import App
from netally.store import sql

UNKNOWN = 0
"""Id of "not known" in every dimension."""

IDLE_TIMEOUT_MS = "60000"

AppKey = tuple[str, str, str, str, str]
"""Name, executable, user, unit, container."""

K = TypeVar("K", str, AppKey)
Find = Callable[[sql.Connection, list[K]], Awaitable[dict[K, int]]]
Make = Callable[[sql.Connection, list[K]], Awaitable[None]]

# Most bytes of each part of an application's identity; together they fit one index entry (2,700 bytes).
_PART_LIMITS = (1_000, 600, 250, 500, 250)
_SURELY_SHORT = 600


app_key: Callable[[App], AppKey] = attrgetter("name", "executable", "user", "unit", "container")
"""Identity of an application."""


def fit_app(key: AppKey) -> AppKey:
    """The identity as it is stored. Absurdly long parts are cut: the database cannot index them."""
    if sum(map(len, key)) <= _SURELY_SHORT:
        return key
    name, executable, user, unit, container = (
        part.encode()[:limit].decode("utf-8", "ignore") for part, limit in zip(key, _PART_LIMITS, strict=True)
    )
    return name, executable, user, unit, container


def _as_it_is(key: K) -> K:
    return key


class Dimension(Generic[K]):
    """One table of names and a bounded cache of its ids."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        name: str,
        find: Find[K],
        make: Make[K],
        limit: int,
        fit: Callable[[K], K] = _as_it_is,
    ) -> None:
        self._pool = pool
        self._name = name
        self._find: Find[K] = find
        self._make: Make[K] = make
        self._limit = limit
        self._fit: Callable[[K], K] = fit
        self._cache: dict[K, int] = {}
        self._forgotten = 0

    async def ids(self, keys: Iterable[K]) -> dict[K, int]:
        """Id of each key, made if need be. Raises what the database raises."""
        fitted = {key: self._fit(key) for key in keys}
        found = {key: self._cache[key] for key in fitted.values() if key in self._cache}
        if missing := sorted({key for key in fitted.values() if key not in found}):
            forgotten = self._forgotten
            learnt = await self._learn(missing)
            found.update(learnt)
            # What was asked before all was to be forgotten may be wrong already.
            if forgotten == self._forgotten:
                self._cache.update(learnt)
                for key in list(self._cache)[: max(0, len(self._cache) - self._limit)]:
                    del self._cache[key]
        return {key: found[as_stored] for key, as_stored in fitted.items()}

    async def ids_of_lists(self, lists: Sequence[Sequence[K]]) -> list[list[int]]:
        """The same for lists of keys, each in its order. As quick as it gets for keys that are remembered: this runs
        for every name of every batch.
        """
        cached: list[list[int | None]] = [list(map(self._cache.get, keys)) for keys in lists]
        missing = {
            key
            for keys, found in zip(lists, cached, strict=True)
            if None in found
            for key, identifier in zip(keys, found, strict=True)
            if identifier is None
        }
        learnt = await self.ids(missing)
        return [
            [learnt[key] if identifier is None else identifier for key, identifier in zip(keys, found, strict=True)]
            if None in found
            else cast("list[int]", found)
            for keys, found in zip(lists, cached, strict=True)
        ]

    async def _learn(self, keys: list[K]) -> dict[K, int]:
        found = await self._find(self._pool, keys)
        absent = [key for key in keys if key not in found]
        if absent:
            async with self._pool.acquire() as connection, connection.transaction():
                await sql.execute(connection, "lock_dimension", name=self._name)
                await self._make(connection, absent)
            found.update(await self._find(self._pool, absent))
        return found

    def __len__(self) -> int:
        """Ids remembered."""
        return len(self._cache)

    def forget(self) -> None:
        """Ask the database again: it may have been restored, or a name purged."""
        self._cache.clear()
        self._forgotten += 1


class PurgedError(Exception):
    """Something was purged since the ids were looked up: look them up again."""


class Dimensions:
    """The three dimensions of a flow."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.hosts: Dimension[str] = Dimension(pool, "host", _find_hosts, _make_hosts, 20_000)
        self.apps: Dimension[AppKey] = Dimension(pool, "app", _find_apps, _make_apps, 20_000, fit_app)
        self.domains: Dimension[str] = Dimension(pool, "domain", _find_domains, _make_domains, 100_000)
        self.purges = -1
        """How many there were when all ids that are remembered were good; -1 before that is known."""

    async def hold(self, connection: sql.Connection, purges: int) -> None:
        """Let nothing be purged to the end of the transaction, whose first statement this is. ``purges`` is what
        `purges` was before the first id was looked up. Raises PurgedError when it is not the same any more.
        """
        await sql.execute(connection, "hold_ids", milliseconds=IDLE_TIMEOUT_MS)
        now = int(await sql.fetch_value(connection, "purges"))
        if now != self.purges:
            self.forget()
            self.purges = now
        if now != purges:
            raise PurgedError

    def forget(self) -> None:
        for dimension in (self.hosts, self.apps, self.domains):
            dimension.forget()


async def _find_hosts(connection: sql.Connection, names: list[str]) -> dict[str, int]:
    return {row["name"]: row["id"] for row in await sql.fetch(connection, "host_ids", names=names)}


async def _make_hosts(connection: sql.Connection, names: list[str]) -> None:
    await sql.execute(connection, "add_hosts", names=names)


async def _find_domains(connection: sql.Connection, names: list[str]) -> dict[str, int]:
    return {row["name"]: row["id"] for row in await sql.fetch(connection, "domain_ids", names=names)}


async def _make_domains(connection: sql.Connection, names: list[str]) -> None:
    await sql.execute(connection, "add_domains", names=names)


def _app_columns(keys: list[AppKey]) -> dict[str, list[str]]:
    names = ("names", "executables", "usernames", "units", "containers")
    return {name: [key[position] for key in keys] for position, name in enumerate(names)}


async def _find_apps(connection: sql.Connection, keys: list[AppKey]) -> dict[AppKey, int]:
    rows = await sql.fetch(connection, "app_ids", **_app_columns(keys))
    return {(row["name"], row["executable"], row["username"], row["unit"], row["container"]): row["id"] for row in rows}


async def _make_apps(connection: sql.Connection, keys: list[AppKey]) -> None:
    await sql.execute(connection, "add_apps", **_app_columns(keys))
