"""Tokens put straight into a database, for tests that have no aggregator."""

from __future__ import annotations

from typing import Any

import asyncpg

from netally.api.token_secrets import TokenHashing, new_secret


async def add_token(url: str, role: str = "viewer", hosts: list[str] | None = None, name: str = "test") -> str:
    """Its text, for ``Authorization: Bearer``."""
    made = new_secret()
    connection: Any = await asyncpg.connect(url)
    try:
        await connection.execute(
            "INSERT INTO token (id, name, role, hosts, hash, created_at) VALUES ($1, $2, $3, $4, $5, now())",
            made.token,
            name,
            role,
            hosts,
            await TokenHashing().hash(made.text),
        )
    finally:
        await connection.close()
    return made.text


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
