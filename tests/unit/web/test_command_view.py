from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from netally.contracts.command_answers import CommandAnswer, CommandEventRow, CommandRow
from netally.web.command_view import PREVIEW_MS, CommandView, command_view, is_typed, size_words
from tests.fake_api import RESULTS

BERLIN = ZoneInfo("Europe/Berlin")
NOON = 1_795_345_200_000


def row(name: str, **changes: Any) -> CommandRow:
    made = CommandRow(
        "0" * 32, name, "aggregator", {}, "admin", True, False, None, "succeeded", "done", {}, None, NOON, NOON,
        NOON + 2500, None,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def ended(name: str, *, dry_run: bool = False, now: int = NOON + 3000, **changes: Any) -> CommandView:
    state, message, result = RESULTS[f"{name} dry" if dry_run else name]
    made = row(name, state=state, message=message, result=result, dry_run=dry_run)
    return command_view(CommandAnswer(msgspec.structs.replace(made, **changes), []), BERLIN, now)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u2009", " ")


def test_a_preview_of_a_clean_up_says_what_is_lost_what_stays_and_asks_for_the_size() -> None:
    view = ended("cleanup", dry_run=True)
    (detail,) = view.details
    assert detail.caption == "What would be deleted"
    assert [plain(cell) for cell in detail.rows[0].cells] == [
        "Flows",
        "3 Oct 2026",
        "20 Oct 2026",
        "555 120 344",
        "22.2",
    ]
    assert detail.rows[1].rest
    assert [plain(cell) for cell in detail.foot] == ["Together", "", "", "555 120 344", "22.2"]
    assert plain(view.lost) == "single connections, addresses and ports from 3 Oct 2026 to 20 Oct 2026"
    assert view.kept.endswith("by the minute")
    assert view.confirm is not None
    assert (view.confirm.size, view.confirm.button) == ("22.2 GB", "Delete 22.2 GB")


def test_a_preview_is_carried_out_only_while_it_is_fresh_and_only_if_something_would_go() -> None:
    old = ended("cleanup", dry_run=True, now=NOON + 2500 + PREVIEW_MS + 1).confirm
    assert old is not None
    assert old.too_old
    assert ended("cleanup", dry_run=True, result={"tiers": {}, "rows": 0, "bytes": 0}).confirm is None
    assert ended("cleanup", dry_run=True, state="failed").confirm is None
    assert ended("cleanup").confirm is None


def test_a_preview_of_settings_shows_before_and_after_and_its_cost() -> None:
    view = ended("set-retention", dry_run=True)
    captions = [detail.caption for detail in view.details]
    assert captions == [
        "Before and after", "What the next clean-up deletes", "What it costs, at the rate of the last day",
    ]  # fmt: skip
    assert view.details[0].rows[0].cells == ["Flows, days", "47", "30"]
    assert [plain(cell) for cell in view.details[2].rows[3].cells] == ["1 day", "for ever", "<0.1", "2.6 in 10 years"]
    assert view.confirm is not None
    assert view.confirm.button == "Save, delete 22.2 GB in the next clean-up"
    config = ended("set-config", dry_run=True).confirm
    assert config is not None
    assert (config.button, config.size) == ("Save", "")
    assert ended("set-config", dry_run=True, result={"changes": {}}).confirm is None


def test_sizes_are_typed_as_people_type() -> None:
    assert is_typed(" 22.2gb ", "22.2 GB")
    assert is_typed("48210 rows", "48\u2009210 rows")
    assert not is_typed("", "22.2 GB")
    assert not is_typed("2.2 GB", "22.2 GB")
    assert plain(size_words(row("purge", result=RESULTS["purge dry"][2]))) == "48 210 rows"


@pytest.mark.parametrize(
    ("name", "caption", "first", "foot"),
    [
        ("aggregate", "Written by tier", ["1 minute", "60", "40 960", "1.9"], ["Together", "64", "41 207", "2.3"]),
        ("purge", "Rows by relation", ["Flows", "40 000"], ["Together", "48 210"]),
        ("set-interval", "By host", ["nas-01", "every 5 s", "every 1 s", "followed"], []),
        ("pause", "By host", ["nas-01", "capturing", "paused", "followed"], []),
        ("set-naming-rules", "By host", ["nas-01", "no rules", "name=a -> b", "followed"], []),
        ("set-log-level", "Before and after", ["Log level", "as started", "debug"], []),
        ("refresh-cache", "Result by instance", ["lap-03", "capture", "–", "–", "no answer"],
         ["Together", "", "", "41 207", ""]),
    ],
)  # fmt: skip
def test_what_was_done_is_a_table(name: str, caption: str, first: list[str], foot: list[str]) -> None:
    detail = ended(name).details[0]
    assert detail.caption == caption
    assert [plain(cell) for cell in detail.rows[0].cells] == first
    assert [plain(cell) for cell in detail.foot] == foot
    assert all(len(line.cells) == len(detail.columns) for line in detail.rows)


def test_hosts_that_did_not_answer_are_named_first() -> None:
    change = {"before": {"paused": False}, "after": {"paused": True}}
    hosts = {"a": {**change, "acknowledged": True}, "b": {**change, "acknowledged": False}}
    view = ended("pause", result={"hosts": hosts, "silent": ["b"]})
    assert view.row.state.word == "partly"
    assert view.advice == "The others are done. Those named follow when they are back."
    # Nobody tells them again.
    assert "refresh again when they are back" in ended("refresh-cache").advice
    assert [(line.cells[0], line.mark) for line in view.details[0].rows] == [("b", "silent"), ("a", "")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "waiting", "started_at": None, "ended_at": None}, "Waiting: no aggregator is running."),
        ({"state": "accepted", "started_at": None, "ended_at": None, "message": "waits for purge 1"}, "Queued."),
        ({"state": "failed", "message": "the disk is full"}, "Failed: The disk is full."),
        ({"state": "failed", "started_at": None, "message": "tier: no"}, "Refused: Tier: no."),
        ({"state": "cancelled", "message": "stopped by admin"}, "Cancelled: Stopped by admin."),
        ({"state": "expired"}, "Expired."),
    ],
)
def test_every_state_says_what_is_so(changes: dict[str, Any], words: str) -> None:
    view = command_view(CommandAnswer(row("aggregate", **changes), []), BERLIN, NOON)
    assert view.headline == words
    assert bool(view.stop) == (changes["state"] in ("waiting", "accepted"))


def test_progress_says_how_far_how_long_and_about_how_much_longer() -> None:
    events = [CommandEventRow(1, NOON, "aggregator", "progress", "630 rows", {"share": 0.63})]
    running = row("export", state="progress", ended_at=None, message="18300000 rows")
    progress = command_view(CommandAnswer(running, events), BERLIN, NOON + 63_000).progress
    assert progress is not None
    assert progress.percent == 63.0
    assert plain(progress.words) == "18 300 000 rows, 63 %, 1 min 03 s, about 37 s left"
    steps = [CommandEventRow(1, NOON, "aggregator", "progress", "tier 1h, 2 of 4", {})]
    progress = command_view(CommandAnswer(running, steps), BERLIN, NOON).progress
    assert progress is not None
    assert progress.percent == 25.0
    progress = command_view(CommandAnswer(running, []), BERLIN, NOON).progress
    assert progress is not None
    assert progress.percent is None


def test_a_finished_export_is_a_file_until_it_goes() -> None:
    view = ended("export")
    assert view.file is not None
    assert (view.file.name, view.file.size, view.file.gone) == ("netally-1h.csv", "51\u00a0B", False)
    result = {**RESULTS["export"][2], "expires_at": NOON}
    gone = ended("export", result=result).file
    assert gone is not None
    assert gone.gone


@pytest.mark.parametrize("name", ["aggregate", "cleanup", "refresh-cache", "export", "pause", "set-retention", "purge"])
def test_results_of_another_shape_are_left_out(name: str) -> None:
    parts = ("tiers", "drops", "costs", "changes", "hosts", "instances", "silent", "relations", "rows")
    odd = {part: ["?"] for part in parts}
    for dry_run in (False, True):
        view = command_view(CommandAnswer(row(name, result=odd, dry_run=dry_run), []), BERLIN, NOON)
        assert (view.details, view.file) == ([], None)
