"""The pages by keyboard alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from netally.web.rendering import NAVIGATION
from tests.e2e.test_pages import Reading, chromium, desk, served  # noqa: F401  (fixtures)

pytestmark = pytest.mark.browser


def test_every_page_of_the_menu_has_two_keys(desk: Reading) -> None:  # noqa: F811
    page = desk.open("/?range=24h")
    assert len({entry.key for entry in NAVIGATION}) == len(NAVIGATION)
    for entry in NAVIGATION:
        page.keyboard.press("g")
        page.keyboard.press(entry.key)
        expect(page.locator("nav [aria-current=page]")).to_have_text(entry.name)
        # Keys are heard once the page's scripts are there.
        page.wait_for_load_state()


def test_the_list_of_keys_opens_and_closes(desk: Reading) -> None:  # noqa: F811
    page = desk.open("/applications")
    keys = page.get_by_role("dialog", name="Keyboard")
    page.keyboard.press("?")
    expect(keys).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.get_by_role("button", name="Keyboard").click()
    page.get_by_role("button", name="Close").click()
    expect(keys).to_be_hidden()


def test_arrows_walk_through_a_table(desk: Reading) -> None:  # noqa: F811
    page = desk.open("/settings")
    page.keyboard.press("t")
    row = "document.activeElement.closest('tr')?.rowIndex"
    assert page.evaluate(row) == 1
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(row) == 3
    page.keyboard.press("ArrowUp")
    assert page.evaluate(row) == 2


def test_slash_leads_to_what_narrows_the_page_and_letters_stay_letters_there(desk: Reading) -> None:  # noqa: F811
    page = desk.open("/applications")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.closest('.scope') !== null")
    page = desk.open("/operations")
    field = page.get_by_label("Filter")
    field.focus()
    page.keyboard.type("g a ?")
    expect(field).to_have_value("g a ?")
    expect(page).to_have_url(re.compile("/operations$"))
    expect(page.get_by_role("dialog")).to_be_hidden()
