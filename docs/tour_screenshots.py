"""The pictures of docs/tour.md, from a running `make demo`. In: the demo's data directory. Out: docs/screenshots/*.png.

``python docs/tour_screenshots.py [DATA_DIR] [PORT]``; see `make screenshots`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import NamedTuple

import httpx
from playwright.async_api import Browser, StorageState, async_playwright

FOLDER = Path(__file__).parent / "screenshots"
CHROMIUM = "/usr/bin/chromium"
MOST_BYTES = 200_000


class Picture(NamedTuple):
    name: str
    path: str
    dark: bool = False
    width: int = 1440
    height: int = 900


def pictures(desktop: int, browser: int, domain: int) -> list[Picture]:
    """Of a host, an application and a domain by their ids."""
    return [
        Picture("overview-light", "/?range=24h"),
        Picture("overview-dark", "/?range=24h", dark=True),
        Picture("overview-narrow", "/?range=24h", dark=True, width=390, height=844),
        Picture("live-dark", "/live", dark=True),
        Picture("application-light", f"/applications/{browser}?range=30d"),
        Picture("domains-light", "/domains?range=7d"),
        Picture("domain-dark", f"/domains/{domain}?range=30d", dark=True),
        Picture("host-light", f"/hosts/{desktop}?range=24h"),
        Picture("history-light", "/history?range=1y"),
        Picture("explore-dark", "/explore?range=30d", dark=True),
        Picture("operations-light", "/operations"),
        Picture("settings-light", "/settings"),
    ]


async def sign_in(browser: Browser, base: str, token: str) -> StorageState:
    """The cookies of a session: one for all pictures, since sign-ins are counted."""
    context = await browser.new_context(timezone_id="UTC", locale="en-GB")
    page = await context.new_page()
    await page.goto(f"{base}/login")
    await page.locator("input[name=secret]").fill(token)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(lambda url: "/login" not in url)
    state = await context.storage_state()
    await context.close()
    return state


async def take(browser: Browser, base: str, session: StorageState, picture: Picture) -> None:
    """One picture. RuntimeError for a page that is not shown or too large."""
    page = await browser.new_page(
        viewport={"width": picture.width, "height": picture.height},
        color_scheme="dark" if picture.dark else "light",
        timezone_id="UTC",
        locale="en-GB",
        storage_state=session,
    )
    shown = await page.goto(base + picture.path)
    if shown is None or shown.status != 200:
        raise RuntimeError(f"{picture.path} answers with {shown and shown.status}")
    # Live figures come each second, charts draw once their script is there.
    await page.wait_for_timeout(8_000 if "live" in picture.name else 3_000)
    file = FOLDER / f"{picture.name}.png"
    await page.screenshot(path=file)
    await page.close()
    size = file.stat().st_size
    sys.stdout.write(f"{file.name:<24} {size:>8,} bytes\n")
    if size > MOST_BYTES:
        raise RuntimeError(f"{file} is larger than {MOST_BYTES:,} bytes")


async def main(directory: Path, port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    token = (directory / "admin-token").read_text("utf-8").strip()
    async with httpx.AsyncClient(
        base_url=base, trust_env=False, timeout=60, headers={"Authorization": f"Bearer {token}"}
    ) as client:
        rows = {
            kind: (await client.get(f"/api/{kind}", params={"range": "7d"})).raise_for_status().json()[kind]
            for kind in ("hosts", "applications", "domains")
        }
    desktop = next(row["id"] for row in rows["hosts"] if row["name"].startswith("desktop"))
    browser_id = next(row["id"] for row in rows["applications"] if row["name"] == "firefox")
    domain = next(row["id"] for row in rows["domains"] if "tube" in row["name"])
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        session = await sign_in(browser, base, token)
        for picture in pictures(desktop, browser_id, domain):
            await take(browser, base, session, picture)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/demo"), int(sys.argv[2]) if len(sys.argv) > 2 else 7600)
    )
