from __future__ import annotations

import asyncio

import pytest

from netally.api import token_secrets
from netally.api.problems import ProblemError
from netally.api.token_secrets import TokenHashing, id_of, new_secret
from netally.contracts.commands import CreateToken, check
from tests.ordering import make_command


def test_a_token_says_its_id_and_no_two_are_alike() -> None:
    made = [new_secret() for _ in range(100)]
    assert len({one.text for one in made}) == len({one.token for one in made}) == 100
    assert all(id_of(one.text) == one.token for one in made)


@pytest.mark.parametrize("text", ["", "x", "netally_", "netally_0123456789abcdef_", "admin", "netally_" + "0" * 60])
def test_what_is_no_token_has_no_id(text: str) -> None:
    assert id_of(text) == ""


async def test_the_hash_is_what_the_command_takes_and_tells_nothing() -> None:
    made = new_secret()
    hashed = await TokenHashing().hash(made.text)
    arguments = check(
        make_command("create-token", {"token": made.token, "name": "ci", "role": "viewer", "hash": hashed})
    )
    assert isinstance(arguments, CreateToken)
    assert made.text not in hashed
    assert made.text[-43:] not in hashed


async def test_only_the_token_fits_its_hash() -> None:
    hashing, made = TokenHashing(), new_secret()
    hashed = await hashing.hash(made.text)
    assert not await hashing.is_right(new_secret().text, hashed)
    assert not hashing.is_known(made.text, hashed)
    assert await hashing.is_right(made.text, hashed)
    assert hashing.is_known(made.text, hashed)
    assert not await hashing.is_right(made.text, "no hash at all")


async def test_a_crowd_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_secrets, "MOST_WAITING", 3)
    hashing = TokenHashing()
    done = await asyncio.gather(*(hashing.hash(new_secret().text) for _ in range(6)), return_exceptions=True)
    refused = [one for one in done if isinstance(one, ProblemError)]
    assert ([one.problem.status for one in refused], len(done) - len(refused)) == ([503] * 3, 3)
