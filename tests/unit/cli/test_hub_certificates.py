from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from netally.cli.hub_certificates import AUTHORITY_AGE, SERVER_AGE, Signed, expires, make_authority, make_server

NOW = datetime.now(UTC)


def shake_hands(authority: str, server: Signed, name: str, tmp_path: Path) -> None:
    """A TLS handshake in memory (ssl.MemoryBIO); raises what the client raises."""
    for file, text in (("ca.pem", authority), ("server.pem", server.certificate), ("server.key", server.key)):
        (tmp_path / file).write_text(text)
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    calling = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = calling.wrap_bio(to_client, to_server, server_hostname=name)
    answering = listening.wrap_bio(to_server, to_client, server_side=True)
    for end in (client, answering, client, answering, client):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize("name", ["hub.example.org", "10.0.0.5", "fd00::5"])
def test_a_client_that_knows_the_authority_believes_the_server(name: str, tmp_path: Path) -> None:
    authority = make_authority(NOW)
    server = make_server(authority, ["hub.example.org", "10.0.0.5", "fd00::5"], NOW)
    shake_hands(authority.certificate, server, name, tmp_path)


def test_another_name_and_another_authority_are_refused(tmp_path: Path) -> None:
    authority = make_authority(NOW)
    server = make_server(authority, ["hub.example.org"], NOW)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(authority.certificate, server, "other.example.org", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(make_authority(NOW).certificate, server, "hub.example.org", tmp_path)


def test_a_renewed_certificate_is_believed_by_those_who_know_the_authority(tmp_path: Path) -> None:
    authority = make_authority(NOW - timedelta(days=1000))
    first = make_server(authority, ["hub"], NOW - timedelta(days=1000))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(authority.certificate, first, "hub", tmp_path)
    shake_hands(authority.certificate, make_server(authority, ["hub"], NOW), "hub", tmp_path)


def test_no_certificate_outlives_its_authority() -> None:
    authority = make_authority(NOW)
    late = make_server(authority, ["hub"], NOW + AUTHORITY_AGE - timedelta(days=10))
    assert expires(late.certificate) == expires(authority.certificate)
    # X.509 counts whole seconds.
    assert abs(expires(make_server(authority, ["hub"], NOW).certificate) - NOW - SERVER_AGE) <= timedelta(seconds=1)
