"""What a run of the lab must reach, and the table that tells it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tests.lab.scenario import Outcome, Run

ETHERNET_HEADER = 14
TAG = 4
INTRODUCTION = """\
## The lab: live capture against the truth

Clients in network namespaces (curl over IPv4 and IPv6, a shell, Python's sockets, aiohttp, QUIC by aioquic, a UDP
client, a server that forks, curl in a container behind a bridge), each a program and a port of its own; a packet
socket at the other end of the wire counts what passed. Loss and VLAN tags are made by programs in the kernel (tcx):
loss between the wire and the world, tags from end to end. Written by `make lab`.

Owned: the bytes came under the right program. Byte error: the sum of all connections' differences to the wire.
Remainder: the share of the interface counter that no named cause explains. Mode packets asks for a UDP socket's
process when its first packets are counted, up to 0.2 s after they passed: the UDP client's shorter sockets, a seventh
of each lifetime, are over by then; QUIC is asked for as it opens, which is in time for nearly all, and the gate leaves
short ones out as it does other UDP. Mode unprivileged is asked for TCP of its own
namespace only: its bytes are exact to the last connection, and have an owner where the connection lasted for a second.
"""


class Score(NamedTuple):
    lifetime: str
    connections: int
    owned: int
    wrong: int
    byte_error: float
    """Share of the bytes on the wire."""


def scores(run: Run) -> list[Score]:
    by_lifetime: dict[str, list[Outcome]] = {}
    for outcome in run.outcomes:
        by_lifetime.setdefault(outcome.lifetime, []).append(outcome)
    return [score(lifetime, found) for lifetime, found in by_lifetime.items()]


def score(lifetime: str, outcomes: list[Outcome]) -> Score:
    wire = sum(outcome.wire_bytes for outcome in outcomes)
    if not outcomes:
        return Score(lifetime, 0, 0, 0, 0.0)
    return Score(
        lifetime,
        len(outcomes),
        sum(outcome.found == outcome.owner for outcome in outcomes),
        sum(outcome.found not in ("", outcome.owner) for outcome in outcomes),
        sum(abs(outcome.counted - outcome.wire_bytes) for outcome in outcomes) / wire,
    )


def remainder(run: Run) -> float:
    """Share of the counter that no named cause explains: what is unknown, and header differences beyond headers.

    Flows without an owner are a cause of their own in the recall, and do not count here.
    """
    if run.mode == "ebpf":
        return abs(run.causes.get("unknown", 0)) / run.counter
    if run.mode == "packets" and not run.setting.offload:
        # A tag may be counted by the interface or not, by the way it leaves the card.
        beyond = run.causes.get("header_difference", 0) - ETHERNET_HEADER * run.packets
        return max(0, -beyond, beyond - (TAG * run.packets if run.setting.vlan else 0)) / run.counter
    return 0.0


def failures(run: Run) -> list[str]:
    """Gates that the run misses, in words."""
    found = []
    every = score("all", run.outcomes)
    if every.wrong:
        wrong = [outcome for outcome in run.outcomes if outcome.found not in ("", outcome.owner)]
        found.append(f"wrong owners: {wrong}")
    if run.mode == "ebpf":
        if every.owned < 0.999 * every.connections:
            found.append(f"owned {every.owned} of {every.connections}: {missed(run.outcomes)}")
        if every.byte_error > 0.001:
            found.append(f"byte error {every.byte_error:.3%}: {differing(run.outcomes)}")
    if run.mode == "packets":
        for outcomes, wanted in ((longer(run.outcomes), 0.99), (shorter(run.outcomes), 0.8)):
            part = score("", outcomes)
            if part.owned < wanted * part.connections:
                found.append(f"owned {part.owned} of {part.connections}, wanted {wanted:.0%}: {missed(outcomes)}")
        if every.byte_error > 0.001:
            found.append(f"byte error {every.byte_error:.3%}: {differing(run.outcomes)}")
    if run.mode == "unprivileged":
        unseen = [each for each in run.outcomes if not each.counted]
        if unseen:
            found.append(f"not seen at all: {unseen}")
        wrong_payload = [
            outcome
            for outcome in run.outcomes
            if outcome.counted_payload_in >= 0 and abs(outcome.counted_payload_in - outcome.payload_in) > 2
        ]
        if wrong_payload:
            found.append(f"payload differs: {wrong_payload}")
    if remainder(run) > 0.001:
        found.append(f"remainder {remainder(run):.3%} of {run.counter}: {run.causes}")
    return found


UDP = ("datagrams", "quic")


def longer(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Connections of 20 ms and more; UDP sockets, whose opening the kernel does not tell, of a second and more."""
    return [each for each in outcomes if each.lived_ms >= (1_000 if each.kind in UDP else 20)]


def shorter(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Connections below 20 ms; of UDP the table tells."""
    return [each for each in outcomes if each.lived_ms < 20 and each.kind not in UDP]


def missed(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.found != outcome.owner]


def differing(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if abs(outcome.counted - outcome.wire_bytes) > 200]


def report(runs: list[Run]) -> str:
    parts = [
        INTRODUCTION,
        "| mode | wire | lifetime | connections | owned | wrong owner | byte error | remainder |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for run in runs:
        for number, found in enumerate(scores(run)):
            last = f"{remainder(run):.4%}" if number == 0 else ""
            error = f"{found.byte_error:.4%}" if run.mode != "unprivileged" else "–"
            parts.append(
                f"| {run.mode} | {run.setting.words} | {found.lifetime} | {found.connections} "
                f"| {found.owned / found.connections:.1%} | {found.wrong} | {error} | {last} |"
            )
    return "\n".join(parts)
