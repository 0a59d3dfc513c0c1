from __future__ import annotations

from netally.contracts.signing import is_signed, sign


def test_only_the_key_and_the_very_body_prove_it() -> None:
    signature = sign(b"body", "key")
    assert is_signed(b"body", signature, "key")
    assert not is_signed(b"body!", signature, "key")
    assert not is_signed(b"body", signature, "another")
    assert not is_signed(b"body", None, "key")
    assert not is_signed(b"body", "ö", "key")
