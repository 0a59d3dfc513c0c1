from __future__ import annotations

import pytest

from netally.contracts.forwarding import Client, Proxies, client_of, proxies

FORWARDED = {
    "host": "api:7501",
    "x-forwarded-for": "198.51.100.7",
    "x-forwarded-host": "netally.example.org",
    "x-forwarded-proto": "https",
}


@pytest.mark.parametrize(
    "peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.7", "::ffff:10.0.0.7", "fd00::9%eth0"]
)
def test_a_proxy_that_was_named_is_believed(peer: str) -> None:
    trusted = proxies("10.0.0.0/24, fd00::9")
    assert client_of(peer, "http", FORWARDED, trusted) == Client("198.51.100.7", "netally.example.org", "https")


@pytest.mark.parametrize("peer", ["10.0.1.7", "192.0.2.1", "", "unix", "fd00::10"])
def test_nobody_else_is(peer: str) -> None:
    trusted = proxies("10.0.0.0/24, fd00::9")
    assert client_of(peer, "http", FORWARDED, trusted) == Client(peer, "api:7501", "http")


@pytest.mark.parametrize(
    ("chain", "address"),
    [
        ("6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("6.6.6.6, 198.51.100.7, 10.0.0.3", "198.51.100.7"),
        ("127.0.0.1, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.3", "10.0.0.3"),
        ("", "127.0.0.1"),
        (" , ", "127.0.0.1"),
        ("not an address", "not an address"),
        ("x" * 500, "x" * 64),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy(chain: str, address: str) -> None:
    """Whatever a client writes itself stands left of what our proxies append."""
    found = client_of("127.0.0.1", "http", {"x-forwarded-for": chain}, proxies("10.0.0.0/24"))
    assert found.address == address


def test_this_machine_is_believed_where_that_is_said() -> None:
    assert client_of("127.0.0.1", "http", FORWARDED, proxies("", this_machine=False)).address == "127.0.0.1"
    assert client_of("127.0.0.1", "http", FORWARDED, proxies("::1,127.0.0.1", this_machine=False)).scheme == "https"


def test_a_scheme_is_one_of_two() -> None:
    assert client_of("127.0.0.1", "http", {"x-forwarded-proto": "gopher"}, Proxies()).scheme == "http"


@pytest.mark.parametrize("text", ["10.0.0.0/33", "web", "10.0.0.1;10.0.0.2"])
def test_what_is_no_network_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="neither an address nor a network"):
        proxies(text)
