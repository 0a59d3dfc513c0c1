"""The streams are declared so that nothing unread is thrown away."""

from __future__ import annotations

from nats.js.api import AckPolicy, DiscardPolicy, RetentionPolicy, StreamConfig

from netally.bus import streams, subjects


def stream(name: str) -> StreamConfig:
    return next(config for config in streams.stream_configs(streams.GIB) if config.name == name)


def test_flows_wait_until_they_are_read_and_the_stream_refuses_more_when_full() -> None:
    flows = stream(streams.FLOWS)
    assert (flows.retention, flows.discard) == (RetentionPolicy.WORK_QUEUE, DiscardPolicy.NEW)
    assert not flows.max_age
    assert flows.max_bytes == streams.GIB


def test_every_stream_is_bounded() -> None:
    assert all(config.max_bytes and config.max_bytes > 0 for config in streams.stream_configs())


def test_consumers_redeliver_without_limit_and_acknowledge_one_by_one() -> None:
    for name, consumer in streams.consumer_configs():
        assert consumer.ack_policy is AckPolicy.EXPLICIT
        assert consumer.max_deliver == -1
        assert consumer.durable_name
        assert any(config.name == name for config in streams.stream_configs())


def test_dead_letters_of_every_stream_have_a_home() -> None:
    (pattern,) = stream(streams.DEADLETTERS).subjects or []
    for name in (streams.FLOWS, streams.AGENTS):
        assert subjects.deadletters(name).rpartition(".")[0] == pattern.removesuffix(".*")


def test_a_server_with_a_gigabyte_of_store_is_enough() -> None:
    least = streams.stream_configs(streams.LEAST_FLOWS_BYTES, streams.LEAST_EXPORTS_BYTES)
    assert sum(config.max_bytes or 0 for config in least) <= 800_000_000
