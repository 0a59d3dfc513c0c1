from __future__ import annotations

from pathlib import Path

import pytest

from netally.cli.api_client import ApiClient
from netally.cli.plain_error import PlainError
from netally.cli.settings import CliSettings


def test_without_a_token_it_says_where_one_would_be(tmp_path: Path) -> None:
    with pytest.raises(PlainError, match="NETALLY_ADMIN_TOKEN"):
        ApiClient(CliSettings(data_dir=str(tmp_path), api_url="http://127.0.0.1:9"))


def test_an_api_that_is_away_is_named(tmp_path: Path) -> None:
    client = ApiClient(CliSettings(data_dir=str(tmp_path), api_url="http://127.0.0.1:9/", admin_token="t"))
    try:
        with pytest.raises(PlainError, match=r"the API at http://127\.0\.0\.1:9 does not answer"):
            client.order({"name": "aggregate"})
        target = tmp_path / "file.csv"
        with pytest.raises(PlainError):
            client.download("/api/exports/1", target, "0" * 64)
    finally:
        client.close()
    assert list(tmp_path.iterdir()) == []
