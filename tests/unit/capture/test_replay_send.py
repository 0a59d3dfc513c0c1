"""Sending a capture to a bus that is there, that is not, and that lacks its stream."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from nats.aio.client import Client

from netally.bus import subjects
from netally.capture import replay_send
from netally.capture.replay import CaptureReader
from netally.capture.replay_send import SendError, last_time, send
from netally.capture.settings import Settings
from netally.contracts.agent import AgentReported
from netally.contracts.flow import FlowsObserved
from netally.contracts.wire import decode_batch, decode_json
from tests.accuracy import OWN
from tests.captures import BEGIN, SECOND, make_pcap
from tests.services import free_port


def reader_of(name: str) -> CaptureReader:
    return CaptureReader(io.BytesIO((OWN / name).read_bytes()))


def test_the_last_time_is_the_latest() -> None:
    frames = [(BEGIN + second * SECOND, b"x", 1) for second in (0, 9, 4)]
    assert last_time(io.BytesIO(make_pcap(frames))) == BEGIN / SECOND + 9
    assert last_time(io.BytesIO(make_pcap([]))) is None


async def test_batches_and_the_hosts_kind_reach_the_bus(nats_client: Client, nats_url: str) -> None:
    js = nats_client.jetstream()
    await js.add_stream(name="EVERYTHING", subjects=[subjects.flows("replay-x"), subjects.agents("replay-x")])
    sent = await send(reader_of("dns-names.pcap"), Settings(nats_url=nats_url), host="replay-x", shift=0.0)
    messages = [await js.get_msg("EVERYTHING", number) for number in range(1, 4)]
    first, batch, last = messages
    assert first.subject == last.subject == subjects.agents("replay-x")
    report = decode_json(last.data or b"", AgentReported)
    assert (report.kind, report.mode, report.sequence, report.spool_batches) == ("replay", "replay", 1, 0)
    flows: FlowsObserved = decode_batch(batch.data or b"")
    assert (flows.host, flows.sequence, flows.epoch) == ("replay-x", 1, report.epoch)
    assert {"www.example.org", "big.example", "_ipp._tcp.local"} <= set(flows.domains)
    assert (sent.batches, sent.records) == (1, len(flows.records))
    assert sent.first == flows.start / 1000


async def test_a_bus_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_send, "PATIENCE", 0.5)
    settings = Settings(nats_url=f"nats://127.0.0.1:{free_port()}")
    with pytest.raises(SendError, match="NETALLY_NATS_URL"):
        await send(reader_of("dns-names.pcap"), settings, host="x", shift=0.0)


async def test_a_bus_without_the_stream_is_said(nats_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(replay_send, "PATIENCE", 1.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SendError, match="aggregator"):
        await send(reader_of("dns-names.pcap"), Settings(nats_url=nats_url), host="x", shift=0.0)
    assert list(tmp_path.glob("netally-replay-*")) == []
