"""What is handed to dbmate, and what it may say."""

from __future__ import annotations

import pytest

from netally.store import migrate
from netally.store.migrate import Deployment


@pytest.mark.parametrize(
    ("url", "encrypted", "expected"),
    [
        ("postgresql://a:b@h:5/n", False, "postgres://a:b@h:5/n?sslmode=disable"),
        ("postgresql://a:b@h:5/n", True, "postgres://a:b@h:5/n?sslmode=require"),
        ("postgresql://a@h/n?sslmode=verify-full", True, "postgres://a@h/n?sslmode=verify-full"),
        ("postgresql://a@h/n?sslmode=prefer", False, "postgres://a@h/n?sslmode=disable"),
        ("postgresql://a@/n?host=/run/pg", False, "postgres://a@/n?host=%2Frun%2Fpg&sslmode=disable"),
    ],
    ids=["plain", "encrypted", "verified", "prefer", "socket"],
)
def test_dbmate_connects_as_asyncpg_did(url: str, encrypted: bool, expected: str) -> None:
    assert migrate._dbmate_url(url, encrypted).replace("host=/run/pg", "host=%2Frun%2Fpg") == expected


def test_the_password_is_taken_out_of_what_dbmate_says() -> None:
    url = "postgres://ada:s3cr%2Ft@h/n"
    said = migrate._without_secrets(b"cannot use s3cr%2Ft\n or  s3cr/t at h", url)
    assert said == "cannot use *** or *** at h"


def test_migrations_are_rendered_with_the_facts_of_the_deployment() -> None:
    rendered = migrate._render(Deployment("postgresql", "Europe/Vienna"))
    everything = "".join(rendered.values())
    assert "{{" not in everything
    assert "'Europe/Vienna'" in everything
    assert all("-- migrate:down" in text for text in rendered.values())


def test_versions_of_migrations_are_never_used_twice() -> None:
    for backend in ("postgresql", "timescaledb"):
        names = [path.name for folder in ("shared", backend) for path in (migrate.MIGRATIONS / folder).glob("*.sql")]
        assert len({name.partition("_")[0] for name in names}) == len(names)


def test_the_zone_of_this_machine_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    assert migrate.machine_timezone() == "Asia/Kathmandu"
    monkeypatch.delenv("TZ")
    assert migrate.machine_timezone()
