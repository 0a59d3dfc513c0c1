"""Login links: a single-use code from the API, so that the token itself is never in a URL."""

from __future__ import annotations

import urllib.parse

import httpx

from netally.cli.plain_error import PlainError
from netally.telemetry.certificates import client_context

VALID = "10 minutes"


async def login_url(api_base: str, web_base: str, token: str, ca: str = "") -> str:
    """A link that logs one browser in, once. PlainError when the API does not give a code."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=10, verify=client_context(ca)) as client:
            answer = await client.post(
                f"{api_base}/api/session/codes", headers={"Authorization": f"Bearer {token}"}, json={}
            )
    except httpx.HTTPError as error:
        raise PlainError(f"the API at {api_base} does not answer ({error}); is `netally up` running?") from None
    if answer.status_code == 401:
        raise PlainError("the API refuses the token: NETALLY_ADMIN_TOKEN differs from the one `netally up` was given.")
    try:
        answer.raise_for_status()
        code = str(answer.json()["code"])
    except (httpx.HTTPStatusError, ValueError, KeyError, TypeError):
        raise PlainError(f"the API at {api_base} gives no login code (status {answer.status_code}).") from None
    return f"{web_base}/login?code={urllib.parse.quote(code, safe='')}"
