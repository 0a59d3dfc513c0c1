"""Handlers of the commands for hosts and services: pause, resume, set-interval, set-log-level, set-naming-rules,
refresh-cache, cancel.

Settings of a host go into the bus's bucket; the host reports the version that it follows. A host that does not is
named, and follows when it is back. Caches are refreshed by a broadcast that everyone answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import asyncpg
import msgspec
from nats.aio.client import Client

from netally.aggregator.command_ledger import CommandLedger
from netally.aggregator.command_runner import Done, FailedError, Run
from netally.aggregator.live_settings import LiveConfig
from netally.bus import settings_bucket, subjects
from netally.bus.gather import ask_all
from netally.contracts.commands import (
    FINAL_STATES,
    CacheOrder,
    CacheReply,
    Cancel,
    FollowOrder,
    FollowReply,
    Pause,
    RefreshCache,
    RefusedError,
    Resume,
    SetInterval,
    SetLogLevel,
    SetNamingRules,
    StopOrder,
)
from netally.contracts.live_settings import HostSettings, ServiceConfig
from netally.contracts.wire import UndecodableError, encode_json
from netally.store import sql

SERVICE_WAIT = 2.0
"""Seconds that services have to answer: they are few and near."""
STOP_WAIT = 10.0
LOOK_SECONDS = 0.1
"""Between looks at what the hosts report; they do so at once when they follow."""
NO_SETTINGS = HostSettings()
"""Of a host that was never told any."""

Change = Callable[[HostSettings], HostSettings]


class FleetCommands:
    """The handlers; ``stop_command`` stops a command that runs in this process."""

    def __init__(self, pool: asyncpg.Pool, client: Client, ledger: CommandLedger, settings: LiveConfig) -> None:
        self._pool = pool
        self._client = client
        self._js = client.jetstream()
        self._ledger = ledger
        self._settings = settings

    # --- settings of hosts --------------------------------------------------------------------------------------

    async def pause(self, run: Run, wanted: Pause) -> Done:
        return await self._set_hosts(run, wanted.hosts, lambda now: msgspec.structs.replace(now, paused=True), "paused")

    async def resume(self, run: Run, wanted: Resume) -> Done:
        return await self._set_hosts(
            run, wanted.hosts, lambda now: msgspec.structs.replace(now, paused=False), "capturing"
        )

    async def set_interval(self, run: Run, wanted: SetInterval) -> Done:
        return await self._set_hosts(
            run,
            wanted.hosts,
            lambda now: msgspec.structs.replace(now, interval=wanted.interval),
            f"every {wanted.interval} s",
        )

    async def set_log_level(self, run: Run, wanted: SetLogLevel) -> Done:
        if wanted.target == "hosts":
            return await self._set_hosts(
                run,
                wanted.hosts,
                lambda now: msgspec.structs.replace(now, log_level=wanted.level),
                f"logging {wanted.level}",
            )
        if wanted.target == "aggregator":
            was = (
                await self._settings.change(
                    self._js, lambda now: msgspec.structs.replace(now, version=now.version + 1, log_level=wanted.level)
                )
            )[0].log_level
        else:
            key = subjects.service_settings_key("api")
            while True:
                found, revision = await settings_bucket.read(self._js, key, ServiceConfig)
                was = (found or ServiceConfig()).log_level
                after = ServiceConfig((found or ServiceConfig()).version + 1, wanted.level)
                try:
                    await settings_bucket.write(self._js, key, after, revision)
                except settings_bucket.OvertakenError:
                    continue
                break
        replies = await self.tell_services(run.command.id, wanted.target)
        result = {
            "changes": {"log_level": {"before": was, "after": wanted.level}},
            "instances": {reply.instance: reply.after for reply in replies},
        }
        if not replies:
            return Done(f"no {wanted.target} answered; those that start log {wanted.level}", result)
        return Done(f"{_many(len(replies), 'instance')} of {wanted.target} log {wanted.level}", result)

    async def set_naming_rules(self, run: Run, wanted: SetNamingRules) -> Done:
        words = "name by the new rules" if wanted.rules.strip() else "name as they find"
        if wanted.hosts is None:
            # For hosts that come later: these have no settings of their own yet.
            await self._write(
                subjects.new_hosts_settings_key(), lambda now: msgspec.structs.replace(now, naming_rules=wanted.rules)
            )
            if not await sql.fetch(self._pool, "agents_to_command"):
                return Done(f"no host has reported yet; those that come {words}", {"hosts": {}, "silent": []})
        return await self._set_hosts(
            run, wanted.hosts, lambda now: msgspec.structs.replace(now, naming_rules=wanted.rules), words
        )

    async def tell_services(self, command_id: str, service: str = "aggregator") -> list[FollowReply]:
        """Let every instance of a service read its settings anew; what they answered."""
        return await ask_all(
            self._client,
            [subjects.command_to_services("follow-settings")],
            FollowOrder(command_id, service),
            FollowReply,
            wait=SERVICE_WAIT,
        )

    async def _set_hosts(self, run: Run, wanted: list[str] | None, change: Change, words: str) -> Done:
        known = {row["name"]: row for row in await sql.fetch(self._pool, "agents_to_command")}
        names = self._named(wanted, known)
        before: dict[str, HostSettings] = {}
        after: dict[str, HostSettings] = {}
        for name in names:
            before[name], after[name] = await self._change(name, change)
        await run.progress(f"waiting for {_many(len(names), 'host')}")
        late = await self._followed({name: after[name].version for name in names})
        hosts = {
            name: {
                "before": {
                    "paused": before[name].paused,
                    "interval": before[name].interval or known[name]["interval_seconds"],
                    "log_level": before[name].log_level,
                    "naming_rules": before[name].naming_rules,
                },
                "after": {
                    "paused": after[name].paused,
                    "interval": after[name].interval or known[name]["interval_seconds"],
                    "log_level": after[name].log_level,
                    "naming_rules": after[name].naming_rules,
                },
                "version": after[name].version,
                "acknowledged": name not in late,
            }
            for name in names
        }
        result = {"hosts": hosts, "silent": late}
        if len(late) == len(names):
            raise FailedError(
                f"no host has followed yet ({_some(late)}); the setting is kept and they follow when they are back",
                result,
            )
        message = f"{_many(len(names) - len(late), 'host')} now {words}"
        if late:
            message += f"; {_some(late)} not yet: they follow when they are back"
        return Done(message, result)

    @staticmethod
    def _named(wanted: list[str] | None, known: Collection[str]) -> list[str]:
        if wanted is None:
            if not known:
                raise RefusedError("no host has reported yet", "hosts")
            return sorted(known)
        for name in wanted:
            if name not in known:
                raise RefusedError(f"there is no host {name!r} with an agent", "hosts")
        return sorted(set(wanted))

    async def _change(self, host: str, change: Change) -> tuple[HostSettings, HostSettings]:
        default, _ = await self._read(subjects.new_hosts_settings_key())
        return await self._write(
            subjects.host_settings_key(host),
            lambda now: msgspec.structs.replace(change(now), version=now.version + 1),
            default or NO_SETTINGS,
        )

    async def _write(
        self,
        key: str,
        change: Change,
        default: HostSettings = NO_SETTINGS,
    ) -> tuple[HostSettings, HostSettings]:
        """Settings before and after."""
        while True:
            found, revision = await self._read(key)
            before = found or default
            after = change(before)
            try:
                await settings_bucket.write(self._js, key, after, revision)
            except settings_bucket.OvertakenError:
                continue
            return before, after

    async def _read(self, key: str) -> tuple[HostSettings | None, int]:
        try:
            return await settings_bucket.read(self._js, key, HostSettings)
        except UndecodableError:
            raise FailedError(f"settings of hosts in the bus cannot be read: delete key {key}") from None

    async def _followed(self, versions: dict[str, int]) -> list[str]:
        """Wait until each host's newest report in the database has its version; those that did not in time.

        The database and not the bus: what is asked for after a command that is done shows what it did.
        """
        missing = versions
        end = asyncio.get_running_loop().time() + self._settings.config.answer_seconds
        while True:
            actual = {row["name"]: row["settings_version"] for row in await sql.fetch(self._pool, "agents_to_command")}
            missing = {name: version for name, version in missing.items() if actual.get(name, 0) < version}
            if not missing or asyncio.get_running_loop().time() >= end:
                return sorted(missing)
            await asyncio.sleep(LOOK_SECONDS)

    # --- caches -------------------------------------------------------------------------------------------------

    async def refresh_cache(self, run: Run, wanted: RefreshCache) -> Done:
        known = [row["name"] for row in await sql.fetch(self._pool, "agents_to_command")]
        names = self._named(wanted.hosts, known) if wanted.hosts is not None else known
        await run.progress(f"asking {_many(len(names), 'host')}")
        replies = await ask_all(
            self._client,
            [subjects.command_to_hosts("refresh-cache"), subjects.command_to_services("refresh-cache")],
            CacheOrder(run.command.id, list(wanted.caches or ()), wanted.hosts),
            CacheReply,
            wait=wanted.wait_seconds,
            expected=names,
            who=lambda reply: reply.instance if reply.service == "capture" else "",
        )
        answered = {reply.instance for reply in replies if reply.service == "capture"}
        silent = [name for name in names if name not in answered]
        instances = [
            {"instance": reply.instance, "service": reply.service, "dropped": reply.dropped}
            for reply in sorted(replies, key=lambda reply: (reply.service, reply.instance))
        ]
        dropped = sum(sum(reply.dropped.values()) for reply in replies)
        message = f"{_many(dropped, 'entry', 'entries')} dropped by {_many(len(replies), 'instance')}"
        if silent:
            message += f"; no answer from {_some(silent)}"
        return Done(message, {"instances": instances, "silent": silent, "dropped": dropped})

    # --- cancel -------------------------------------------------------------------------------------------------

    async def cancel(self, run: Run, wanted: Cancel) -> Done:
        actor = run.command.actor or "nobody"
        found = await self._ledger.state(wanted.command)
        if found is None:
            raise RefusedError(f"there is no command {wanted.command}", "command")
        name, state = found
        if name == "cancel":
            raise RefusedError("a cancel cannot be cancelled", "command")
        if await self._ledger.end_waiting(wanted.command, "cancelled", f"taken back by {actor} before it began"):
            return Done(f"{name} taken back before it began", {"command": wanted.command, "state": "cancelled"})
        order = encode_json(StopOrder(wanted.command, actor))
        loop = asyncio.get_running_loop()
        end = loop.time() + STOP_WAIT
        while state not in FINAL_STATES and loop.time() < end:
            await self._client.publish(subjects.command_to_services("stop-command"), order)
            await asyncio.sleep(0.1)
            state = (await self._ledger.state(wanted.command) or ("", "failed"))[1]
        if state not in FINAL_STATES:
            raise FailedError(f"{name} has not stopped within {STOP_WAIT:.0f} s; it stops as soon as it can")
        message = f"{name} stopped" if state == "cancelled" else f"{name} had ended already: {state}"
        return Done(message, {"command": wanted.command, "state": state})


def _many(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
