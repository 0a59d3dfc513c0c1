"""The bus of a namespace, asked from inside it. Answers are JSON on standard output.

python -m tests.peers.bus provision     make the streams
python -m tests.peers.bus batches       every flow batch there is, one a line, with message id and names filled in
python -m tests.peers.bus agent         the last state an agent reported
python -m tests.peers.bus live 3        the next three live samples, one a line
"""

from __future__ import annotations

import asyncio
import sys

import msgspec
import nats
from nats.js import JetStreamContext

from netally.bus.streams import AGENTS, FLOWS, provision
from netally.contracts.wire import decode_batch
from tests.services import eventually

URL = "nats://127.0.0.1:4222"


async def newest(js: JetStreamContext) -> int:
    """Sequence of the newest state, 0 while there is none."""
    return (await js.stream_info(AGENTS)).state.last_seq


async def main() -> None:
    client = await nats.connect(URL)
    js = client.jetstream()
    match sys.argv[1]:
        case "provision":
            await provision(js)
        case "batches":
            state = (await js.stream_info(FLOWS)).state
            for sequence in range(1, state.last_seq + 1):
                message = await js.get_msg(FLOWS, sequence)
                batch = decode_batch(message.data or b"")
                rows = [
                    {
                        **msgspec.structs.asdict(row),
                        "app": batch.apps[row.app].name,
                        "domain": batch.domains[row.domain],
                        "remote": row.remote.hex(),
                    }
                    for row in batch.records
                ]
                known = {
                    "id": (message.headers or {}).get("Nats-Msg-Id"),
                    "host": batch.host,
                    "epoch": batch.epoch,
                    "sequence": batch.sequence,
                    "start": batch.start,
                    "interval": batch.interval,
                    "coverage": msgspec.structs.asdict(batch.coverage),
                    "records": rows,
                    "tally": [msgspec.structs.asdict(row) for row in batch.tally],
                }
                print(msgspec.json.encode(known).decode())
        case "agent":
            # An agent tells its state within a second of reaching the bus.
            last = await eventually(lambda: newest(js))
            print(((await js.get_msg(AGENTS, last)).data or b"").decode())
        case "live":
            subscription = await client.subscribe("live.v1.*")
            for _ in range(int(sys.argv[2])):
                print((await subscription.next_msg(timeout=5)).data.decode())
    await client.close()


if __name__ == "__main__":
    asyncio.run(main())
