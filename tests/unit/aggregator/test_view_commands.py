"""What a view is called and whose it is; the whole way is in tests/integration/test_saved_views.py."""

from __future__ import annotations

from typing import Any

import pytest

from netally.aggregator.command_runner import Run
from netally.aggregator.view_commands import ViewCommands
from netally.contracts.commands import DeleteView, RefusedError, SaveView
from tests.ordering import make_command

NO_LEDGER: Any = None


class Pool:
    """Notes what is asked; every query finds ``found``."""

    def __init__(self, found: Any) -> None:
        self.found = found
        self.asked: list[tuple[Any, ...]] = []

    async def fetchval(self, query: str, *args: Any) -> Any:
        del query
        self.asked.append(args)
        return self.found

    async def execute(self, query: str, *args: Any) -> str:
        del query
        self.asked.append(args)
        return "INSERT 0 1"


async def test_a_new_view_has_the_commands_id_and_owner() -> None:
    pool: Any = Pool(None)
    command = make_command("save-view", actor="ada")
    done = await ViewCommands(pool, lambda: 5).save(Run(command, NO_LEDGER), SaveView(" two \n words ", "/explore"))
    assert done.result == {"view": command.id, "name": "two words", "address": "/explore", "replaced": False}
    assert {command.id, "two words", "ada", "/explore", 5} == set(pool.asked[1])


async def test_the_same_name_again_keeps_the_id() -> None:
    pool: Any = Pool("first")
    done = await ViewCommands(pool, lambda: 5).save(
        Run(make_command("save-view"), NO_LEDGER), SaveView("a", "/explore")
    )
    assert (done.result["view"], done.result["replaced"], len(pool.asked)) == ("first", True, 1)
    assert done.message == "view a leads to a new place"


async def test_there_has_to_be_a_view_to_delete() -> None:
    pool: Any = Pool(None)
    with pytest.raises(RefusedError, match="there is no view") as refused:
        await ViewCommands(pool, lambda: 5).delete(Run(make_command("delete-view"), NO_LEDGER), DeleteView("0" * 32))
    assert refused.value.field == "view"
