"""The spool: identity over restarts, order, bounds with losses counted, disks that are full or broken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netally.capture.spool import Spool, hollow
from netally.contracts.codes import Cause
from netally.contracts.flow import FlowsObserved
from netally.contracts.wire import decode_batch, encode_batch
from tests.builders import make_batch, make_flow_record, make_tally_row

NOW = 1_795_305_600.0
DAY = 86_400.0


def open_spool(directory: Path, *, max_bytes: int = 1_000_000_000, max_age: float = 5 * DAY) -> Spool:
    return Spool(directory / "spool.sqlite3", max_bytes=max_bytes, max_age=max_age)


def large_batch(records: int = 500) -> FlowsObserved:
    return make_batch(
        [make_flow_record(remote=os.urandom(16), bytes_in=number) for number in range(records)],
        tally=[make_tally_row(), make_tally_row(cause=int(Cause.NOT_IP), bytes_in=28)],
    )


def test_batches_get_epoch_and_sequence_and_come_out_in_order(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    assert spool.append([make_batch(), make_batch()], NOW) == [1, 2]
    assert spool.append([make_batch()], NOW) == [3]
    kept = spool.oldest(10)
    decoded = [decode_batch(batch.body) for batch in kept]
    assert [batch.sequence for batch in decoded] == [batch.sequence for batch in kept] == [1, 2, 3]
    assert {batch.epoch for batch in decoded} == {spool.epoch}
    assert (spool.batches, spool.bytes) == (3, sum(len(batch.body) for batch in kept))


def test_deleted_batches_are_gone_and_the_sequence_goes_on_over_a_restart(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append([make_batch(), make_batch()], NOW)
    epoch = spool.epoch
    spool.delete([1, 2])
    assert (spool.batches, spool.bytes, spool.oldest(10)) == (0, 0, [])
    spool.close()
    again = open_spool(tmp_path)
    assert again.epoch == epoch
    assert again.append([make_batch()], NOW) == [3]


def test_a_power_cut_takes_back_no_sequence_that_was_given(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    (level,) = spool._database.execute("PRAGMA synchronous").fetchone()
    assert level == 2  # FULL (sqlite.org/pragma.html): each commit is on the disk before `append` returns


def test_a_new_file_is_a_new_epoch(tmp_path: Path) -> None:
    first = open_spool(tmp_path / "a").epoch
    second = open_spool(tmp_path / "b").epoch
    assert first != second
    assert len(first) == 32


def test_what_was_appended_survives_kill(tmp_path: Path) -> None:
    program = (
        "import sys, os, signal; from pathlib import Path\n"
        "from netally.capture.spool import Spool\n"
        "from tests.builders import make_batch\n"
        "spool = Spool(Path(sys.argv[1]) / 'spool.sqlite3', max_bytes=10**9, max_age=10**9)\n"
        "for number in range(20): spool.append([make_batch()], 1e9)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert done.returncode == -signal.SIGKILL
    spool = open_spool(tmp_path)
    assert [batch.sequence for batch in spool.oldest(100)] == list(range(1, 21))
    assert spool.sequence == 20


def test_a_full_spool_hollows_out_its_oldest_and_keeps_their_identity(tmp_path: Path) -> None:
    size = len(encode_batch(large_batch()))
    spool = open_spool(tmp_path, max_bytes=4 * size)
    for _ in range(10):
        spool.append([large_batch()], NOW)
    decoded = [decode_batch(batch.body) for batch in spool.oldest(100)]
    assert [batch.sequence for batch in decoded] == list(range(1, 11))
    hollowed = [batch for batch in decoded if not batch.records]
    assert [batch.sequence for batch in hollowed] == list(range(1, len(hollowed) + 1))
    assert spool.lost_batches == len(hollowed) >= 6
    assert spool.bytes <= 4 * size
    assert spool.bytes == sum(len(batch.body) for batch in spool.oldest(100))


def test_a_lost_batch_says_what_it_lost() -> None:
    batch = large_batch()
    shell = decode_batch(hollow(encode_batch(batch)))
    assert (shell.host, shell.start, shell.records, shell.coverage.measured_ms) == (batch.host, batch.start, [], 0)
    (row,) = shell.tally
    assert (row.interface, row.cause) == ("eth0", Cause.LOST_SPOOL)
    # The causes still sum to the interface's counter.
    assert row.bytes_in == 1_500 + 28


def test_batches_that_waited_too_long_are_lost(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_age=DAY)
    spool.append([make_batch()], NOW)
    spool.append([make_batch()], NOW + DAY / 2)
    spool.append([make_batch()], NOW + DAY + 1)
    assert [bool(decode_batch(batch.body).records) for batch in spool.oldest(10)] == [False, True, True]
    assert spool.lost_batches == 1


def test_a_full_disk_loses_the_batch_counts_it_and_goes_on(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.append([make_batch()], NOW)
    pages = spool._database.execute("PRAGMA page_count").fetchone()[0]
    spool._database.execute(f"PRAGMA max_page_count={pages}")
    assert spool.append([large_batch(2000)], NOW) == []
    assert spool.lost_batches == 1
    assert "full" in spool.problem
    assert spool.sequence == 1
    spool._database.execute("PRAGMA max_page_count=1000000")
    # No hole: the number that was not kept is given again.
    assert spool.append([make_batch()], NOW) == [2]
    assert spool.problem == ""


def test_a_damaged_file_is_put_aside_and_begun_anew(tmp_path: Path) -> None:
    first = open_spool(tmp_path)
    epoch = first.epoch
    first.close()
    path = tmp_path / "spool.sqlite3"
    path.write_bytes(b"this is no database" * 1000)
    spool = open_spool(tmp_path)
    assert spool.epoch != epoch
    assert spool.append([make_batch()], NOW) == [1]
    assert list(tmp_path.glob("*.broken-*"))


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    open_spool(tmp_path / "new")
    assert (tmp_path / "new" / "spool.sqlite3").stat().st_mode & 0o077 == 0
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0


def test_bytes_that_are_no_batch_stay_as_they_are() -> None:
    assert hollow(b"nonsense") == b"nonsense"


@pytest.mark.parametrize("count", [0, 1])
def test_deleting_what_is_not_there_changes_nothing(tmp_path: Path, count: int) -> None:
    spool = open_spool(tmp_path)
    spool.append([make_batch()] * count, NOW)
    spool.delete([77])
    assert spool.batches == count
