"""The web service in front of a fake API, both on real ports."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import msgspec
import pytest

from netally.web.app import create_app
from netally.web.settings import WebSettings
from tests.fake_api import TOKEN, FakeApi, create_fake, serve


class Site(msgspec.Struct):
    """A running web service, the fake behind it, and a signed-in client."""

    url: str
    fake: FakeApi
    client: httpx.Client

    def html(self, path: str, status: int = 200, **headers: str) -> str:
        answer = self.client.get(path, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.text


@pytest.fixture(scope="session")
def _running() -> Iterator[tuple[FakeApi, str]]:
    fake = FakeApi()
    with serve(create_fake(fake)) as api, serve(create_app(WebSettings(api_url=api, timezone="Europe/Berlin"))) as url:
        yield fake, url


@pytest.fixture
def site(_running: tuple[FakeApi, str]) -> Iterator[Site]:
    fake, url = _running
    fresh = FakeApi()
    for name in FakeApi.__struct_fields__:
        if name != "live_streams":
            setattr(fake, name, getattr(fresh, name))
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as client:
        yield Site(url, fake, client)
