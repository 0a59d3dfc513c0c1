from __future__ import annotations

from typing import Any

from netally.contracts.queries import Bandwidth, BandwidthAnswer, HostBandwidth, LiveEvent, Meta, Mover
from netally.web.live import LiveBoard

NOW = 1_795_305_600_000
META = Meta("live", NOW - 60_000, NOW, 1, 1, [], NOW, 1.0, 0)


def mover(app: str, size: int, **changes: Any) -> Mover:
    values: dict[str, Any] = {"host": "box", "domain": f"{app}.example", "remote": "203.0.113.7", **changes}
    return Mover(app=app, bytes_in=size, bytes_out=0, rate_in=size / 60, rate_out=0.0, last_seen=NOW, **values)


def board(*movers: Mover, history: list[float | None] | None = None) -> LiveBoard:
    known: list[float | None] = [1e6] * 60 if history is None else history
    hosts = [HostBandwidth("box", 1e6, 2e6, NOW)]
    return LiveBoard(BandwidthAnswer(5, Bandwidth(1e6, 2e6), hosts, list(movers), known, known, META), NOW)


def event(second: int, *movers: Mover, rate: float | None = 1e6) -> LiveEvent:
    return LiveEvent(NOW + second * 1000, Bandwidth(rate, rate), [HostBandwidth("box", rate, rate, None)], list(movers))


def names(live: LiveBoard) -> list[str]:
    return [row.app for row in live.view().rows]


def test_the_figures_of_now() -> None:
    live = board(mover("curl", 3_000_000))
    view = live.view()
    assert (view.reading_in.figure, view.reading_in.unit) == ("8.0", "Mbit/s")
    assert view.reading_in.other_words == "1.0\u00a0MB/s"
    live.update(event(1, rate=None))
    view = live.view()
    assert view.reading_in.figure == "–"
    assert view.hosts_reporting == 0
    live.update(event(2, rate=0.0))
    assert live.view().reading_in.figure == "0"


def test_history_keeps_sixty_seconds_and_its_gaps() -> None:
    live = board(history=[None] * 60)
    assert live.view().reading_in.spark.gaps == [(0, 60)]
    for second in range(1, 31):
        live.update(event(second))
    assert live.view().reading_in.spark.gaps == [(0, 30)]


def test_rows_keep_their_places_for_ten_seconds() -> None:
    live = board(mover("a", 900), mover("b", 800), mover("c", 700))
    live.update(event(5, mover("a", 100), mover("b", 800), mover("c", 5000)))
    assert names(live) == ["a", "b", "c"]
    live.update(event(10, mover("a", 100), mover("b", 800), mover("c", 5000)))
    assert names(live) == ["c", "b", "a"]


def test_a_new_mover_shows_at_once() -> None:
    live = board(mover("a", 900), mover("b", 800))
    live.update(event(1, mover("a", 900), mover("b", 800), mover("curl", 5)))
    assert names(live) == ["a", "b", "curl"]
    full = board(*[mover(f"p{index}", 100 + index) for index in range(10)])
    shown = names(full)
    full.update(event(1, *[mover(f"p{index}", 100 + index) for index in range(10)], mover("curl", 5000)))
    # In the place of the smallest; the others stay where they are.
    assert names(full) == [name if name != "p0" else "curl" for name in shown]
    assert full.view().others == 1


def test_who_leaves_makes_room() -> None:
    live = board(mover("a", 900), mover("b", 800), mover("c", 700))
    live.update(event(1, mover("a", 900), mover("c", 700), mover("d", 50)))
    assert names(live) == ["a", "d", "c"]


def test_rows_others_and_the_sum_agree() -> None:
    view = board(*[mover(f"p{index:02}", 1000 * (index + 1)) for index in range(14)]).view()
    shown = sum(float(row.bytes_in) for row in view.rows)
    assert len(view.rows) == 10
    assert view.others == 4
    assert shown + float(view.others_in) == float(view.total_in) == 105.0
    assert view.rows[0].bar_in == 100


def test_the_same_name_on_two_hosts_is_two_rows_and_a_nameless_one_shows_its_address() -> None:
    view = board(mover("curl", 5, host="a"), mover("curl", 4, host="b"), mover("ping", 3, domain="")).view()
    assert [(row.host, row.domain, row.named) for row in view.rows] == [
        ("a", "curl.example", True), ("b", "curl.example", True), ("box", "203.0.113.7", False),
    ]  # fmt: skip


def test_rows_lead_to_what_they_are_about_and_keep_their_ids() -> None:
    live = board(mover("curl", 5), mover("", 3, domain=""))
    first, second = live.view().rows
    assert (first.to_app, first.to_domain, first.to_host) == (
        "/applications/named?name=curl", "/domains/named?name=curl.example", "/hosts/named?name=box"
    )  # fmt: skip
    assert (second.to_app, second.to_domain[:9]) == ("/applications/0", "/explore?")
    live.update(event(10, mover("curl", 5), mover("", 900, domain="")))
    assert [row.id for row in live.view().rows] == [second.id, first.id]
