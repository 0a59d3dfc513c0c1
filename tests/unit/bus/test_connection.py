"""What may be shown of a NATS URL."""

from __future__ import annotations

from netally.bus.connection import location


def test_user_and_password_are_not_shown() -> None:
    assert location("nats://ada:secret@bus.example.org:4222") == "bus.example.org:4222"


def test_each_server_is_named() -> None:
    assert location("nats://a:1,tls://t0ken@b:2") == "a:1, b:2"
