from __future__ import annotations

import pytest

from netally.api import metrics
from netally.api.bus import LiveBus
from netally.bus import subjects
from netally.contracts.agent import LiveSample
from netally.contracts.wire import encode_json
from tests.api_in_process import NOWHERE
from tests.builders import make_live_sample


class Message:
    def __init__(self, subject: str, data: bytes) -> None:
        self.subject, self.data = subject, data


@pytest.mark.parametrize(
    ("subject", "data", "result"),
    [
        (subjects.live("web-1.example.org"), encode_json(make_live_sample()), "used"),
        (subjects.live("db-1"), encode_json(make_live_sample()), "wrong_subject"),
        (subjects.live("web-1.example.org"), b"{", "undecodable"),
        (subjects.live("web-1.example.org"), b"", "undecodable"),
        (subjects.live("web-1.example.org"), b" " * 300_000, "undecodable"),
        (subjects.live("web-1.example.org"), b'{"host": 5}', "undecodable"),
    ],
)
async def test_only_a_hosts_own_samples_are_used(subject: str, data: bytes, result: str) -> None:
    taken: list[LiveSample] = []

    def take(sample: LiveSample) -> bool:
        taken.append(sample)
        return True

    counter = metrics.SAMPLES.labels(result)
    before = counter._value.get()
    await LiveBus(NOWHERE, take)._on_message(Message(subject, data))  # type: ignore[arg-type]
    assert counter._value.get() == before + 1
    assert len(taken) == (result == "used")


async def test_samples_of_no_use_are_counted() -> None:
    counter = metrics.SAMPLES.labels("no_use")
    before = counter._value.get()
    message = Message(subjects.live("web-1.example.org"), encode_json(make_live_sample()))
    await LiveBus(NOWHERE, lambda _: False)._on_message(message)  # type: ignore[arg-type]
    assert counter._value.get() == before + 1


def test_the_reason_is_empty_while_it_is_there() -> None:
    bus = LiveBus(NOWHERE, lambda _: True)
    assert bus.reason
    bus._on_state(None)
    assert bus.reason == ""
    bus._on_state("cannot reach NATS")
    assert bus.reason == "cannot reach NATS"
