"""The identity of an application fits the database's index."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netally.aggregator.dimensions import app_key
from netally.contracts.flow import App
from tests.builders import CURL

INDEX_LIMIT = 2_704
"""Most bytes of a btree entry on 8 KiB pages (nbtinsert.c)."""


def test_an_application_is_the_same_when_all_its_parts_are() -> None:
    assert app_key(CURL) == ("curl", "/usr/bin/curl", "ada", "", "")


@given(*[st.text(max_size=5_000)] * 5)
def test_absurd_identities_fit_the_index(name: str, executable: str, user: str, unit: str, container: str) -> None:
    key = app_key(App(name[:255], executable, user, unit, container))
    # A tuple header, and for each text a length word and up to three bytes of padding.
    assert sum(len(part.encode()) + 7 for part in key) + 16 <= INDEX_LIMIT


def test_the_longest_identity_fits_the_index() -> None:
    key = app_key(App("\U0001f40b" * 255, *["\U0001f40b" * 5_000] * 4))
    assert sum(len(part.encode()) + 7 for part in key) + 16 <= INDEX_LIMIT
    assert all(key)
