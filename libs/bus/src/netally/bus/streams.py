"""Every stream and durable consumer, declared here and nowhere else; the aggregator provisions them at start."""

from __future__ import annotations

from typing import Final

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RePublish,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, BadRequestError, NotFoundError

from netally.bus import subjects

GIB: Final = 1024**3
MIB: Final = 1024**2

FLOWS: Final = "FLOWS"
AGENTS: Final = "AGENTS"
COMMANDS: Final = "COMMANDS"
OUTCOMES: Final = "OUTCOMES"
DEADLETTERS: Final = "DEADLETTERS"
ACCESS: Final = "ACCESS"
TABS: Final = "TABS"

TABS_AGE: Final = 7 * 86_400
"""Seconds that a browser's report waits for an aggregator at most."""

SETTINGS_BUCKET: Final = "settings"
"""KV bucket (stream KV_settings) of what changes while things run."""
EXPORTS_BUCKET: Final = "exports"
"""Object Store bucket (stream OBJ_exports) of files to download."""
EXPORTS_AGE: Final = 72 * 3600
"""Seconds after which a file is gone."""

AGGREGATOR: Final = "aggregator"
"""Durable name of the aggregator's consumers."""

ACK_WAIT: Final = 30.0
"""Seconds after which a message that was neither acknowledged nor said to be in progress is delivered again: what a
crashed aggregator had in hand waits that long."""


def stream_configs(
    flows_max_bytes: int = 8 * GIB, exports_max_bytes: int = GIB, replicas: int = 1
) -> list[StreamConfig]:
    """Wanted configuration of each stream.

    FLOWS is a work queue, bounded by bytes, refusing new messages when full (then agents spool) and *without* an age
    limit: a limits stream with ``max_age`` deletes what nobody has read yet. ``replicas``: on how many servers of a
    cluster each message is kept (1, 3 or 5).
    """
    configs = [
        StreamConfig(
            name=FLOWS,
            subjects=[f"{subjects.FLOWS}.*"],
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.NEW,
            max_bytes=flows_max_bytes,
            max_msg_size=MIB,
            duplicate_window=120,
            storage=StorageType.FILE,
        ),
        StreamConfig(
            name=AGENTS,
            subjects=[f"{subjects.AGENTS}.*"],
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            max_msgs_per_subject=1,
            max_bytes=64 * MIB,
            storage=StorageType.FILE,
        ),
        StreamConfig(
            name=COMMANDS,
            subjects=[f"{subjects.COMMANDS}.aggregator.*"],
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.NEW,
            max_bytes=64 * MIB,
            storage=StorageType.FILE,
        ),
        StreamConfig(
            name=OUTCOMES,
            subjects=[f"{subjects.OUTCOMES}.*.*"],
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            max_age=7 * 86400,
            max_bytes=128 * MIB,
            storage=StorageType.FILE,
        ),
        StreamConfig(
            name=ACCESS,
            subjects=[subjects.access_used()],
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.OLD,
            max_age=7 * 86400,
            max_bytes=64 * MIB,
            # Longer than a login code is good: its message id is what makes it work once.
            duplicate_window=900,
            storage=StorageType.FILE,
        ),
        StreamConfig(
            name=TABS,
            subjects=[f"{subjects.TABS}.*"],
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.NEW,
            max_age=TABS_AGE,
            max_bytes=16 * MIB,
            max_msg_size=64 * 1024,
            duplicate_window=120,
            storage=StorageType.FILE,
        ),
        StreamConfig(
            name=DEADLETTERS,
            subjects=[f"{subjects.DEADLETTERS}.*"],
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            max_age=30 * 86400,
            max_bytes=256 * MIB,
            storage=StorageType.FILE,
        ),
        StreamConfig(
            name=f"KV_{SETTINGS_BUCKET}",
            subjects=[f"$KV.{SETTINGS_BUCKET}.>"],
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.NEW,
            max_msgs_per_subject=1,
            max_bytes=16 * MIB,
            max_msg_size=16 * 1024,
            storage=StorageType.FILE,
            # Read without a consumer, and heard on a plain subject: a host needs to be allowed its own key and subject
            # only, and is never blind after a restart of the server (a KV watcher is for about 18 s).
            allow_direct=True,
            allow_rollup_hdrs=True,
            deny_delete=True,
            republish=RePublish(src=f"$KV.{SETTINGS_BUCKET}.hosts.>", dest=f"{subjects.SETTINGS}.hosts.>"),
        ),
        StreamConfig(
            name=f"OBJ_{EXPORTS_BUCKET}",
            subjects=[f"$O.{EXPORTS_BUCKET}.C.>", f"$O.{EXPORTS_BUCKET}.M.>"],
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.NEW,
            max_age=EXPORTS_AGE,
            max_bytes=exports_max_bytes,
            storage=StorageType.FILE,
            allow_direct=True,
            allow_rollup_hdrs=True,
        ),
    ]
    return [config.evolve(num_replicas=replicas) for config in configs]


def consumer_configs(ack_wait: float = ACK_WAIT) -> list[tuple[str, ConsumerConfig]]:
    """(stream, wanted configuration) of each durable consumer. Redelivery is without limit: what cannot be stored for
    now is tried again until it can; what never can goes to DEADLETTERS by the reader's own decision.
    """
    # Commands in order, one by one: each is acknowledged once it is in the ledger, which takes milliseconds.
    most_in_hand = {FLOWS: 2_000, AGENTS: 2_000, ACCESS: 2_000, TABS: 2_000, COMMANDS: 1}
    return [
        (
            stream,
            ConsumerConfig(
                durable_name=AGGREGATOR,
                ack_policy=AckPolicy.EXPLICIT,
                deliver_policy=DeliverPolicy.ALL,
                ack_wait=ack_wait,
                max_deliver=-1,
                max_ack_pending=most,
            ),
        )
        for stream, most in most_in_hand.items()
    ]


class NoRoomError(Exception):
    """JetStream has no storage left for a stream; the message says for which and what to do."""


_NO_STORAGE: Final = 10_047
LEAST_FLOWS_BYTES: Final = 64 * MIB
LEAST_EXPORTS_BYTES: Final = 16 * MIB
_SHRINKS: Final = {FLOWS: LEAST_FLOWS_BYTES, f"OBJ_{EXPORTS_BUCKET}": LEAST_EXPORTS_BYTES}
"""Streams that are made smaller where the server has less room, in this order, and the least they need."""


async def provision(
    js: JetStreamContext,
    flows_max_bytes: int = 8 * GIB,
    ack_wait: float = ACK_WAIT,
    exports_max_bytes: int = GIB,
    replicas: int = 1,
) -> None:
    """Create what is missing and bring the rest to the wanted configuration. Safe to run at any time, by several.

    A server with less storage than wanted gets a smaller FLOWS (halved until it fits): agents then spool earlier. What
    it leaves is for exports. Raises NoRoomError when not even the least fit.
    """
    # The others have fixed sizes; these take what remains.
    last = ["", *_SHRINKS]
    configs = stream_configs(flows_max_bytes, exports_max_bytes, replicas)
    for config in sorted(configs, key=lambda config: last.index(config.name) if config.name in _SHRINKS else 0):
        await _provision_stream(js, config)
    for stream, consumer in consumer_configs(ack_wait):
        # add_consumer upserts; a durable that exists would otherwise keep its old limits silently.
        await js.add_consumer(stream, consumer)


async def _provision_stream(js: JetStreamContext, config: StreamConfig) -> None:
    assert config.name is not None  # noqa: S101  (set above; nats-py types it as optional)
    while True:
        try:
            try:
                await js.stream_info(config.name)
            except NotFoundError:
                try:
                    await js.add_stream(config)
                except BadRequestError:
                    await js.update_stream(config)
            else:
                await js.update_stream(config)
            return
        except APIError as error:
            if error.err_code != _NO_STORAGE:
                raise
            size = config.max_bytes or 0
            if config.name not in _SHRINKS or size < 2 * _SHRINKS[config.name]:
                raise NoRoomError(
                    f"NATS has no storage left for stream {config.name} ({size // MIB} MiB): raise max_file_store of "
                    "its JetStream, or free space there"
                ) from None
            config = config.evolve(max_bytes=size // 2)
