"""Views need a token and a database; the list itself is in tests/integration/test_saved_views.py."""

from __future__ import annotations

from litestar.testing import TestClient

from netally.api.app import create_app
from netally.api.settings import Settings

TOKEN = "t" * 32


def test_views_need_a_token_and_a_database() -> None:
    with TestClient(create_app(Settings(admin_token=TOKEN))) as client:
        assert client.get("/api/views").status_code == 401
        answer = client.get("/api/views", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.json()["status"]) == (503, 503)
