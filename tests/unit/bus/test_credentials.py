from __future__ import annotations

import os
from pathlib import Path

import pytest

from netally.bus.credentials import BusAccess, BusSettings, host_inbox, read_access, service_inbox
from netally.telemetry.settings import SettingsError


def test_nothing_given_is_a_plain_connection() -> None:
    assert read_access(BusSettings(), "_INBOX_a").options() == {"inbox_prefix": b"_INBOX_a"}


@pytest.mark.parametrize("content", ["", "SUNOSEED", "U" * 58, "\udcff"])
def test_a_file_that_is_no_seed_is_named_with_its_variable(tmp_path: Path, content: str) -> None:
    path = tmp_path / "host.seed"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(SettingsError, match=r"NETALLY_NATS_SEED_FILE.*host\.seed"):
        read_access(BusSettings(nats_seed_file=str(path)), "_INBOX")


def test_a_missing_or_wrong_authority_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="NETALLY_NATS_CA_FILE: cannot read"):
        read_access(BusSettings(nats_ca_file=str(tmp_path / "none.pem")), "_INBOX")
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match="holds no certificate"):
        read_access(BusSettings(nats_ca_file=str(tmp_path / "ca.pem")), "_INBOX")


def test_no_host_can_have_the_inbox_of_a_service_or_of_another_host() -> None:
    hosts = ["api", ".api", "web-1", "web.1", "*", ">", "aggregator"]
    inboxes = {host_inbox(host) for host in hosts} | {service_inbox("api"), service_inbox("aggregator")}
    assert len(inboxes) == len(hosts) + 2
    assert not any("." in host_inbox(host) or "*" in host_inbox(host) or ">" in host_inbox(host) for host in hosts)


def test_no_secret_is_shown() -> None:
    seed = os.urandom(20).hex()
    assert seed not in repr(BusAccess("_INBOX", seed)) + repr(BusSettings(nats_seed_file=seed))
