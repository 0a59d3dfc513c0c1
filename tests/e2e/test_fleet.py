"""One hub and seven agents, each a machine of its own, over TLS with keys of their own; through page and API.

Five are used by all tests; one is revoked, and one is cut off from the start for a minute, in which the others run.
"""

from __future__ import annotations

import sys
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fleet import Agent, Fleet, fleet, ready
from tests.namespaces import Namespace, ip
from tests.secrets_in_logs import secrets_in_files
from tests.services import wait_until

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

HEADERS = 28
"""Of a datagram over IPv4."""
HUB = "10.77.0.1/32"


@pytest.fixture(scope="module")
def running() -> Iterator[Fleet]:
    """Joined and started, the last one cut off; the tests below take it as they find it and leave the first five
    connected.
    """
    with fleet(7) as made:
        made.hub.command("init", "--address", "10.77.0.1")
        made.hub.start()
        made.server.serve("udp_sink", "9000")
        lines = [made.hub.command("agent", "add", agent.name) for agent in made.agents]
        with ThreadPoolExecutor() as together:
            list(together.map(Agent.join, made.agents, lines))
        # Not by threads: a process ends with the thread that started it.
        for agent in made.agents:
            agent.start()
        ready(made.agents)
        last = made.agents[6]
        # Only the way to the hub is gone; the rest of its traffic goes on.
        ip("-n", last.namespace.name, "route", "add", "blackhole", HUB)
        made.cut_at = time.monotonic()
        yield made
        made.hub.stop()
        assert secrets_in_files(*(made.hub.data / "logs").glob("*.log")) == []


def send(source: Namespace, target: Namespace, port: int, count: int, size: int, reply: int) -> None:
    source.run(
        *(sys.executable, "tests/peers/udp_client.py", target.ipv4),
        *(str(port), str(count), str(size), str(reply)),
        timeout=120,
    )


def totals(fleet: Fleet, text: str = "") -> tuple[int, int]:
    """(in, out) of the last quarter of an hour, of what the filter lets through."""
    answer = fleet.hub.api("/api/applications?" + urllib.parse.urlencode({"range": "15m", "filter": text}))
    return answer["total_bytes_in"], answer["total_bytes_out"]


def sent(fleet: Fleet, agent: Agent) -> tuple[int, int]:
    """The same of an agent's datagrams to the server."""
    return totals(fleet, f"port = 9000 and host = {agent.name}")


def plus(was: tuple[int, int], more_in: int, more_out: int) -> tuple[int, int]:
    return was[0] + more_in, was[1] + more_out


def soon(fleet: Fleet, text: str, wanted: tuple[int, int], within: float = 40) -> None:
    """Wait until exactly this is stored."""

    def stored() -> bool:
        got = totals(fleet, text)
        if got != wanted:
            raise AssertionError(f"{text}: stored are {got}, wanted {wanted}")
        return True

    wait_until(stored, within=within, every=0.5)


def test_every_host_appears_with_the_bytes_of_its_interface(running: Fleet) -> None:
    agents = running.agents[:5]
    counted = [agent.counted() for agent in agents]
    before = [(totals(running, f"host = {agent.name}"), sent(running, agent)) for agent in agents]
    with ThreadPoolExecutor() as together:
        list(together.map(lambda agent: send(agent.namespace, running.server, 9000, 4000, 1400, 1300), agents))
    carried = [
        [now[key] - then[key] for key in ("bytes_in", "bytes_out")]
        for now, then in zip((agent.counted() for agent in agents), counted, strict=True)
    ]
    for agent, (stored, datagrams), interface in zip(agents, before, carried, strict=True):
        # To the byte what was sent; as the interface counted with all else, its batches to the hub included. What was
        # on its way at either end of the time makes some ten thousand bytes of five millions.
        soon(running, f"port = 9000 and host = {agent.name}", plus(datagrams, 4000 * 1328, 4000 * 1428))
        got = [now - then for now, then in zip(totals(running, f"host = {agent.name}"), stored, strict=True)]
        assert got == pytest.approx(interface, rel=0.01)
    page = running.hub.page("/hosts")
    assert all(agent.name in page for agent in agents)


def test_a_flow_between_two_agents_is_seen_from_both_ends_and_counted_once(running: Fleet) -> None:
    one, two = running.agents[:2]
    two.namespace.serve("udp_sink", "9100")
    send(one.namespace, two.namespace, 9100, 300, 1000, 500)
    there, back = 300 * (1000 + HEADERS), 300 * (500 + HEADERS)
    soon(running, f"port = 9100 and host = {one.name}", (back, there))
    soon(running, f"port = 9100 and host = {two.name}", (there, back))
    soon(running, "port = 9100", (back, there))


def test_refresh_cache_reaches_all_and_a_new_interval_one_alone(running: Fleet) -> None:
    done = running.hub.order("/api/config/refresh-cache?wait=30")
    assert done["state"] == "succeeded"
    assert all(agent.name in str(done["result"]) for agent in running.agents[:5])
    changed = running.agents[2].name
    done = running.hub.order(
        "/api/commands?wait=30", name="set-interval", arguments={"hosts": [changed], "interval": 10}
    )
    assert done["state"] == "succeeded", done

    def intervals() -> dict[str, int]:
        return {row["name"]: row["interval"] for row in running.hub.api("/api/hosts?range=15m")["hosts"]}

    wait_until(lambda: intervals()[changed] == 10, within=10, every=0.3)
    assert {intervals()[agent.name] for agent in running.agents[:5] if agent.name != changed} == {5}


def test_an_agent_cut_off_for_a_minute_and_a_hub_restarted_under_traffic_lose_nothing(running: Fleet) -> None:
    away, steady = running.agents[6], running.agents[0]
    before = {agent.name: sent(running, agent) for agent in (away, steady)}
    wait_until(lambda: "bus" in away.waits_for(), within=60, every=0.5)
    send(away.namespace, running.server, 9000, 400, 900, 700)
    running.hub.stop()
    send(steady.namespace, running.server, 9000, 400, 800, 600)
    running.hub.start()
    send(steady.namespace, running.server, 9000, 100, 800, 600)
    wait_until(lambda: time.monotonic() - running.cut_at >= 60, within=60, every=0.5)
    assert sent(running, away) == before[away.name]
    ip("-n", away.namespace.name, "route", "del", "blackhole", HUB)
    for agent, count, size, reply in ((away, 400, 900, 700), (steady, 500, 800, 600)):
        wanted = plus(before[agent.name], count * (reply + HEADERS), count * (size + HEADERS))
        soon(running, f"port = 9000 and host = {agent.name}", wanted, within=60)


def test_a_revoked_agent_is_refused_and_the_others_go_on(running: Fleet) -> None:
    revoked = running.agents[5]
    other = running.agents[1]
    running.hub.command("agent", "revoke", revoked.name)
    wait_until(lambda: "bus" in revoked.waits_for(), within=20, every=0.5)
    before, of_other = sent(running, revoked), sent(running, other)
    send(revoked.namespace, running.server, 9000, 50, 1000, 1000)
    send(other.namespace, running.server, 9000, 50, 1000, 1000)
    soon(running, f"port = 9000 and host = {other.name}", plus(of_other, 50 * 1028, 50 * 1028))
    assert sent(running, revoked) == before
    assert not other.waits_for()
