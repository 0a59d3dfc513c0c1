"""What can never be stored goes to ``deadletters.v1.<stream>`` with the reason, and is then done with."""

from __future__ import annotations

import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from netally.aggregator.metrics import BATCHES, DEAD_LETTERS
from netally.bus import streams, subjects
from netally.contracts.commands import DeadLetter
from netally.contracts.wire import encode_json

log = structlog.get_logger()

MOST_PAYLOAD = 512 * 1024


async def bury(js: JetStreamContext, stream: str, message: Msg, reason: str, now: int) -> None:
    """Publish the dead letter and wait until it is stored. Buried twice (a crash before the ack), it is kept once.

    Raises what nats-py raises; the message is then to be tried again. The caller acknowledges it.
    """
    sequence = message.metadata.sequence.stream
    letter = DeadLetter(
        stream=stream,
        subject=message.subject,
        stream_sequence=sequence,
        reason=reason,
        time=now,
        payload=message.data[:MOST_PAYLOAD],
    )
    await js.publish(
        subjects.deadletters(stream),
        encode_json(letter),
        stream=streams.DEADLETTERS,
        headers={"Nats-Msg-Id": f"{stream}:{message.metadata.timestamp.isoformat()}:{sequence}"},
    )
    DEAD_LETTERS.labels(stream).inc()
    if stream == streams.FLOWS:
        BATCHES.labels("dead_letter").inc()
    log.warning(
        "dead letter",
        stream=stream,
        subject=message.subject,
        stream_sequence=sequence,
        # Of a batch: host, epoch and sequence.
        message_id=(message.headers or {}).get("Nats-Msg-Id", ""),
        reason=reason,
    )
