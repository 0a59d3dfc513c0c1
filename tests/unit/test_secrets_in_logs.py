from __future__ import annotations

import pytest

from netally.api.token_secrets import new_secret
from tests.secrets_in_logs import secrets_in

HARMLESS = """
{"event": "command accepted", "command": "create-token", "actor": "admin", "id": "0123456789abcdef"}
connecting to NATS at nats://127.0.0.1:4222
postgresql://postgres@127.0.0.1:5432/netally
the file admin-token of the data directory, NETALLY_ADMIN_TOKEN
"""


@pytest.mark.parametrize(
    "text",
    [
        f'{{"event": "request", "token": "{new_secret().text}"}}',
        "cannot reach postgresql://netally:hunter2@db/netally",
        "Cookie: netally_session=WyJhIiwgImIiLCAxLCAyXQ.abcdefg",
        "headers {'authorization': 'Bearer something'}",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
        "-----BEGIN EC PRIVATE KEY-----",
        "settings: an-admin-token",
    ],
)
def test_a_secret_is_found_whatever_stands_around_it(text: str) -> None:
    assert len(secrets_in(f"{HARMLESS}{text}\n{HARMLESS}")) == 1


def test_what_is_none_is_not() -> None:
    assert secrets_in(HARMLESS) == []
