"""Pages of sites that try to report tabs in a real browser: nothing of it is done, whatever way they take."""

from __future__ import annotations

from typing import Any

import pytest
from nats.aio.client import Client
from playwright.async_api import async_playwright

from netally.bus import subjects
from tests.integration.test_browsers import PATH, Hub, hub, now  # noqa: F401  (a fixture)
from tests.recording_hub import recording_hub
from tests.services import eventually

pytestmark = pytest.mark.browser

TRIES = """async ({ address, code, report }) => {
    const body = JSON.stringify(report);
    const outcome = async (name, request) => {
        try {
            const answer = await request();
            return [name, answer.type, answer.status, await answer.text()];
        } catch (error) {
            return [name, error.name];
        }
    };
    const send = (options) => () => fetch(address, { method: "POST", body, ...options });
    const json = { "Content-Type": "application/json", Authorization: code };
    const found = [
        await outcome("cors", send({ headers: json })),
        await outcome("cors with cookies", send({ headers: json, credentials: "include" })),
        await outcome("plain text", send({ headers: { "Content-Type": "text/plain" } })),
        await outcome("no cors", send({ mode: "no-cors", credentials: "include" })),
        await outcome("read", () => fetch(address.replace("active-tab", "status"), { headers: json })),
    ];
    navigator.sendBeacon(address, new Blob([body], { type: "text/plain" }));
    return found;
}"""

FORM = """(address) => {
    document.body.innerHTML = `<form method="post" enctype="text/plain" action="${address}"><input name="{}"></form>`;
    document.forms[0].submit();
}"""


async def test_a_page_gets_nothing_done(hub: Hub, nats_client: Client) -> None:  # noqa: F811
    heard: list[bytes] = []

    async def hear(message: Any) -> None:
        heard.append(message.data)

    await nats_client.subscribe(subjects.tabs("desk.example.org"), cb=hear)
    await nats_client.flush()
    report = {"domain": "forged.example", "timestamp": now(), "browser": "Firefox", "seconds": 5}
    api = f"http://127.0.0.1:{hub.api.port}{PATH}"
    # A page knows the code here, which none does: even so it may not report.
    given = {"address": api, "code": hub.code["Authorization"], "report": report}
    with recording_hub() as sites:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path="/usr/bin/chromium",
                args=["--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"],
            )
            page = await browser.new_page()
            await page.goto(sites.site("evil.example"))
            found = {name: rest for name, *rest in await page.evaluate(TRIES, given)}
            assert list(found.values()) == [["TypeError"]] * 5
            async with page.expect_navigation():
                await page.evaluate(FORM, api)
            assert "Forbidden" in await page.inner_text("body")
            # The hub's own pages report no tabs either.
            await page.goto(f"http://127.0.0.1:{hub.api.port}/api/docs")
            found = {name: rest for name, *rest in await page.evaluate(TRIES, given)}
            assert {rest[1] for name, rest in found.items() if name != "read"} == {403}
            await browser.close()
    assert (await hub.report(domain="real.example")).status_code == 202

    async def is_stored() -> bool:
        return bool(await hub.activity())

    await eventually(is_stored)
    assert [row[2] for row in await hub.activity()] == ["real.example"]
    assert len(heard) == 1
