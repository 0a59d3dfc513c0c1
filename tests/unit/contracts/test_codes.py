"""The vocabularies are closed and their numbers are for ever."""

from __future__ import annotations

import pytest

from netally.contracts.codes import Cause, Code, DomainSource, Mode, ProcessSource, Role, Scope

FOR_EVER: dict[type[Code], str] = {
    Scope: "unknown internet private loopback peer replay",
    Role: "unknown client server",
    DomainSource: "none extension tls_sni quic_sni http dns dns_query ech_outer",
    ProcessSource: "none ebpf sock_diag proc",
    Cause: "unknown attributed no_name no_process not_ip forwarded kernel header_difference lost_ring lost_map "
    "lost_spool paused",
    Mode: "none ebpf packets unprivileged replay",
}


@pytest.mark.parametrize("vocabulary", FOR_EVER, ids=lambda vocabulary: vocabulary.__name__)
def test_numbers_keep_their_words(vocabulary: type[Code]) -> None:
    assert vocabulary.labels() == dict(enumerate(FOR_EVER[vocabulary].split()))


def test_a_word_gives_its_entry() -> None:
    assert Scope.from_label("internet") is Scope.INTERNET


def test_an_unknown_word_is_refused_with_those_known() -> None:
    with pytest.raises(ValueError, match="'wan' is none of unknown, internet"):
        Scope.from_label("wan")
