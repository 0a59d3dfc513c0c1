"""Proof that the API has checked who orders a command: HMAC-SHA-256 (RFC 2104) over the message's body.

The key is in the database, which the API can read and a mere client of the bus cannot.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

SIGNATURE_HEADER: Final = "Netally-Signature"


def sign(body: bytes, key: str) -> str:
    """Value of the header, hexadecimal."""
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def is_signed(body: bytes, signature: str | None, key: str) -> bool:
    return signature is not None and hmac.compare_digest(sign(body, key).encode(), signature.encode())
