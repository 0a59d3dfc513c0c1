from __future__ import annotations

from typing import Any

from netally.contracts.queries import Mover
from netally.web.live_tree import PLACES, PROCESSES, LiveTree, TreeRow, matches

NOW = 1_795_305_600_000


def mover(app: str, size: int, **changes: Any) -> Mover:
    values: dict[str, Any] = {"host": "box", "domain": f"{app}.example", "remote": "203.0.113.7", **changes}
    return Mover(app=app, bytes_in=size, bytes_out=0, rate_in=size / 60, rate_out=0.0, last_seen=NOW, **values)


def shape(rows: list[TreeRow]) -> list[tuple[int, str, str]]:
    return [(row.level, row.name, row.place) for row in rows]


def processes(tree: LiveTree) -> list[str]:
    return [row.name for row in tree.view().rows if row.level == 0]


def test_a_process_has_its_domains_and_those_their_hosts() -> None:
    movers = [
        mover("firefox", 500, domain="a.example"),
        mover("firefox", 400, domain="b.example", host="box"),
        mover("firefox", 300, domain="b.example", host="nas"),
        mover("", 100, domain=""),
    ]
    view = LiveTree("", movers, NOW).view()
    assert shape(view.rows) == [
        (0, "firefox", "2 hosts"),
        (1, "b.example", "2 hosts"),
        (2, "box", ""),
        (2, "nas", ""),
        (1, "a.example", "box"),
        (0, "no process", "box"),
        (1, "203.0.113.7", "box"),
    ]
    assert [row.soft for row in view.rows] == [False] * 5 + [True] * 2
    assert view.rows[0].bytes_in == "1\u2009200"
    assert view.rows[1].bytes_in == "700"
    assert view.total.bytes_in == "1\u2009300"
    assert (view.rows[0].bar_in, view.amounts.symbol) == (100.0, "B")


def test_what_is_not_shown_is_summed() -> None:
    movers = [mover(f"app{number:02}", 1000 - number) for number in range(PROCESSES + 2)]
    movers += [mover("app00", 10, domain=f"{number}.example") for number in range(PLACES + 3)]
    rows = LiveTree("", movers, NOW).view().rows
    assert shape(rows)[-1] == (0, "2 others", "")
    assert (1, "4 others", "") in shape(rows)
    assert rows[-1].bar_in == 0


def test_rows_keep_their_places_for_ten_seconds() -> None:
    tree = LiveTree("", [mover("a", 900), mover("b", 800)], NOW)
    assert processes(tree) == ["a", "b"]
    tree.update([mover("a", 1), mover("b", 800), mover("c", 5000)], NOW + 5000)
    assert processes(tree) == ["a", "b", "c"]
    tree.update([mover("a", 1), mover("b", 800), mover("c", 5000)], NOW + 10_000)
    assert processes(tree) == ["c", "b", "a"]


def test_a_large_new_mover_is_shown_at_once_although_the_table_is_full() -> None:
    many = [mover(f"app{number:02}", 1000 - number) for number in range(PROCESSES)]
    tree = LiveTree("", many, NOW)
    tree.view()
    tree.update([*many, mover("wget", 9000)], NOW + 1000)
    assert "wget" in processes(tree)


def test_every_word_of_a_filter_has_to_be_somewhere() -> None:
    one = mover("Firefox", 1, domain="xn--mnchen-3ya.de", host="nas-01")
    assert matches(one, ["fire", "nas"])
    assert matches(one, ["münchen"])
    assert matches(one, ["xn--"])
    assert matches(one, ["203.0.113"])
    assert not matches(one, ["fire", "gw"])
    view = LiveTree("CURL box", [mover("curl", 5), mover("git", 7)], NOW).view()
    assert (view.matching, view.movers) == (1, 2)
    assert processes(LiveTree("nothing", [mover("curl", 5)], NOW)) == []


def test_rows_lead_to_what_they_are_about() -> None:
    movers = [mover("git", 500, host="box"), mover("git", 300, host="nas"), mover("", 100, domain="")]
    movers += [mover("git", 2, domain=f"{number}.example") for number in range(PLACES + 1)]
    rows = LiveTree("", movers, NOW).view().rows
    leads = {(row.level, row.name): (row.href, row.place_href) for row in rows}
    assert leads[0, "git"] == ("/applications/named?name=git", "")
    assert leads[1, "git.example"] == ("/domains/named?name=git.example", "")
    assert leads[2, "nas"] == ("/hosts/named?name=nas", "")
    assert leads[1, "2 others"] == ("", "")
    assert leads[0, "no process"] == ("/applications/0", "/hosts/named?name=box")
    assert leads[1, "203.0.113.7"][0].startswith("/explore?")
    assert len({row.id for row in rows}) == len(rows)
