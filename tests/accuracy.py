"""Scores replay against captures whose flows are known; ``python -m tests.accuracy`` writes docs/accuracy.md.

Two sources of truth: the captures made in tests/data, and the regression captures of the nDPI project where they lie
beside the repository (not part of it). Every difference must have a reason that follows from a rule, not from a file.
"""

from __future__ import annotations

import ipaddress
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from netally.capture.replay import CaptureReader, FlowLine, read_flows
from tests.accuracy_page import write_section

ROOT = Path(__file__).parent.parent
OWN = ROOT / "tests" / "data"
NDPI = ROOT.parent / "shared" / "pcaps"

NAMED_PROTOCOLS = ("TLS", "QUIC", "HTTP", "HTTP_Proxy", "DNS", "MDNS", "DTLS", "DoH_DoT")
COUNTERS = ("c2s_packets", "c2s_bytes", "s2c_packets", "s2c_bytes")
_NAME_LENGTH = 79
"""nDPI keeps so many characters at the end of a name."""


class Difference(NamedTuple):
    file: str
    flow: str
    ours: str
    theirs: str
    reason: str
    """Empty when none is known: a fault."""


class FileScore(NamedTuple):
    """One capture."""

    file: str
    flows: int
    exact: int
    """Flows whose packets and bytes agree in both directions."""
    names: int
    """Flows of TLS, QUIC, HTTP and DNS that have a name."""
    right: int
    differences: list[Difference]


def own_scores() -> list[FileScore]:
    truth: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in _lines(OWN / "truth.jsonl"):
        truth[line["file"], line["tunnels"]].append({**line, "named": line["domain"] is not None})
    return [_score(OWN / file, flows, inner=tunnels == "inner") for (file, tunnels), flows in sorted(truth.items())]


def ndpi_scores() -> list[FileScore]:
    """Empty when the captures are not there. Tunnels are opened there as by ``--tunnels inner``."""
    truth: dict[str, list[dict[str, Any]]] = defaultdict(list)
    if (NDPI / "truth.jsonl").exists():
        for line in _lines(NDPI / "truth.jsonl"):
            counters = {name: line[name.replace("packets", "pkts")] for name in COUNTERS}
            protocol = line["proto"].split(".")[0]
            named = line["host"] is not None and protocol in NAMED_PROTOCOLS
            flow = {**line, **counters, "domain": line["host"], "named": named, "protocol": protocol}
            truth[line["pcap"]].append(flow)
    return [_score(NDPI / file, flows, inner=True) for file, flows in sorted(truth.items())]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, path.read_text().splitlines())


def _score(path: Path, truth: list[dict[str, Any]], *, inner: bool) -> FileScore:
    with path.open("rb") as stream:
        flows = read_flows(CaptureReader(stream, inner=inner))
    ours: dict[tuple[str, str, str], list[FlowLine]] = defaultdict(list)
    for flow in flows:
        ours[flow.l4, _normal(flow.src), _normal(flow.dst)].append(flow)
    exact = names = right = 0
    differences: list[Difference] = []
    for line in truth:
        key = (line["l4"], _normal(line["src"]), _normal(line["dst"]))
        words = f"{key[0]} {key[1]} → {key[2]}"
        counters = [line[name] for name in COUNTERS]
        # Flows of the same addresses in two VLANs differ by their counters only.
        same = [flow for flow in ours[key] if [getattr(flow, name) for name in COUNTERS] == counters]
        found = same or ours[key]
        if not found:
            differences.append(Difference(path.name, words, "no such flow", str(counters), ""))
            continue
        flow = found[0]
        ours[key].remove(flow)
        if same:
            exact += 1
        else:
            have = [getattr(flow, name) for name in COUNTERS]
            differences.append(Difference(path.name, words, str(have), str(counters), ""))
        expected = (line["domain"] or "").lower()
        agrees = (flow.domain or "") == expected
        if len(expected) >= _NAME_LENGTH:  # the end of a longer name
            agrees = (flow.domain or "").endswith(expected)
        if line.get("domain_source") not in (None, flow.domain_source):
            agrees = False
        if line["named"]:
            names += 1
            right += agrees
        if not agrees and (line["named"] or flow.domain is not None):
            reason = _reason(flow, line)
            mine = f"{flow.domain or '–'} ({flow.domain_source})"
            differences.append(Difference(path.name, words, mine, expected or "–", reason))
    for flow in (flow for rest in ours.values() for flow in rest):
        words = f"{flow.l4} {flow.src} → {flow.dst}"
        differences.append(Difference(path.name, words, "flow", "no such flow", ""))
    return FileScore(path.name, len(truth), exact, names, right, differences)


def _normal(endpoint: str) -> str:
    """Endpoint with its address as RFC 5952 writes it (the truth also shortens a single group of zeros)."""
    host, port = endpoint.rsplit(":", 1)
    address = ipaddress.ip_address(host.strip("[]"))
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _reason(flow: FlowLine, line: dict[str, Any]) -> str:
    theirs = line["domain"]
    if theirs is None and flow.domain_source == "dns":
        return "The connection names nobody; the client had got this address from DNS under this name."
    if theirs is None and flow.domain_source in ("tls_sni", "http"):
        return f"The name lies inside {line.get('protocol')}, which the other program does not look into."
    if theirs is not None and not line["named"]:
        return f"A name of {line.get('protocol')} is no domain."
    return ""


def totals(scores: list[FileScore]) -> tuple[int, int, int, int]:
    """(flows, exact flows, names, right names)."""
    return (
        sum(score.flows for score in scores),
        sum(score.exact for score in scores),
        sum(score.names for score in scores),
        sum(score.right for score in scores),
    )


def report() -> str:
    parts = [
        "## Replay: captures whose flows are known",
        "",
        "How `netally replay` counts and names the flows of captures whose flows are known. Written by",
        "`python -m tests.accuracy`; a flow is exact when packets and bytes of both directions are.",
        "",
    ]
    for title, scores in (
        ("Captures of nDPI's regression tests (`--tunnels inner`)", ndpi_scores()),
        ("Own captures (`tests/data`)", own_scores()),
    ):
        if not scores:
            continue
        flows, exact, names, right = totals(scores)
        parts += [
            f"### {title}",
            "",
            f"{len(scores)} files, {exact} of {flows} flows exact; {right} of {names} names of TLS, QUIC, HTTP and DNS",
            f"flows right ({right / names:.1%}).",
            "",
            "| file | flows | exact | names | right |",
            "|---|--:|--:|--:|--:|",
            *(f"| {score.file} | {score.flows} | {score.exact} | {score.names} | {score.right} |" for score in scores),
            "",
        ]
        differences = [difference for score in scores for difference in score.differences]
        if differences:
            parts += [
                "Every difference:",
                "",
                "| file | flow | Netally | truth | why |",
                "|---|---|---|---|---|",
                *(
                    f"| {d.file} | {d.flow} | {d.ours} | {d.theirs} | {d.reason or 'unexplained'} |"
                    for d in differences
                ),
                "",
            ]
    return "\n".join(parts)


if __name__ == "__main__":
    write_section("replay", report())
