"""Who may ask: the admin token, login codes, session cookies, and a limit on attempts.

Codes and ended sessions are kept in memory: a restart voids open codes, and a cookie that was ended before the restart
is good again until its twelve hours are over.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from itsdangerous import BadSignature, URLSafeSerializer

from netally.contracts.queries import LoginCode, Session

COOKIE: Final = "netally_session"
SESSION_SECONDS: Final = 12 * 3600
CODE_SECONDS: Final = 600
MOST_CODES: Final = 100
TOKEN_FILE: Final = "admin-token"  # noqa: S105  (a file's name)
ADMIN: Final = "admin"

ATTEMPTS: Final = 10
ATTEMPTS_SECONDS: Final = 60
_MOST_ADDRESSES: Final = 10_000

log = structlog.get_logger()


class AttemptLimit:
    """At most `ATTEMPTS` failures a minute from one address; addresses are bounded, the oldest go first."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._failures: dict[str, deque[int]] = {}

    def wait_seconds(self, address: str) -> int:
        """Seconds until the address may try again, 0 for now."""
        failures = self._failures.get(address)
        if not failures:
            return 0
        since = self._clock() - ATTEMPTS_SECONDS * 1000
        while failures and failures[0] <= since:
            failures.popleft()
        return (failures[0] - since) // 1000 + 1 if len(failures) >= ATTEMPTS else 0

    def failed(self, address: str) -> None:
        failures = self._failures.pop(address, None) or deque(maxlen=ATTEMPTS)
        failures.append(self._clock())
        self._failures[address] = failures
        while len(self._failures) > _MOST_ADDRESSES:
            del self._failures[next(iter(self._failures))]


class Access:
    """Checks and issues credentials. ``clock`` gives epoch milliseconds."""

    def __init__(self, token: str, token_file: Path, clock: Callable[[], int]) -> None:
        self._given = token
        self._file = token_file
        self._read: tuple[float, str] = (0.0, "")
        self._clock = clock
        self._codes: dict[str, int] = {}
        self._ended: dict[str, int] = {}
        self.attempts = AttemptLimit(clock)

    def token(self) -> str:
        """The admin token; empty while there is none (then nobody gets in)."""
        if self._given:
            return self._given
        try:
            status = self._file.stat()
            if status.st_mtime != self._read[0]:
                if status.st_mode & 0o077:
                    log.error("admin token is readable by others and not used", file=str(self._file), do="chmod 600")
                    self._read = (status.st_mtime, "")
                else:
                    self._read = (status.st_mtime, self._file.read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError):
            return ""
        return self._read[1]

    def is_admin(self, token: str) -> bool:
        known = self.token()
        # Digests, so that neither content nor length shows in the time it takes.
        return bool(known) and hmac.compare_digest(_digest(token), _digest(known))

    def new_code(self) -> LoginCode:
        """A code that opens one session within ten minutes."""
        now = self._clock()
        self._codes = {code: end for code, end in self._codes.items() if end > now}
        while len(self._codes) >= MOST_CODES:
            del self._codes[next(iter(self._codes))]
        code = secrets.token_urlsafe(24)
        expires_at = now + CODE_SECONDS * 1000
        self._codes[_digest(code).hex()] = expires_at
        return LoginCode(code=code, expires_at=expires_at)

    def open_session(self, code: str) -> tuple[Session, str] | None:
        """The session and its cookie's value; None for a code that is unknown, used or too old."""
        expires_at = self._codes.pop(_digest(code).hex(), 0)
        if expires_at <= self._clock() or not self.token():
            return None
        session = Session(actor=ADMIN, expires_at=self._clock() + SESSION_SECONDS * 1000)
        return session, self._signer().dumps([secrets.token_hex(16), session.actor, session.expires_at])

    def session_of(self, cookie: str) -> Session | None:
        """The session of a cookie; None when it is forged, over or ended."""
        found = self._load(cookie)
        if found is None or found[2] <= self._clock() or found[0] in self._ended:
            return None
        return Session(actor=found[1], expires_at=found[2])

    def end_session(self, cookie: str) -> None:
        found = self._load(cookie)
        if found is not None:
            now = self._clock()
            self._ended = {number: end for number, end in self._ended.items() if end > now} | {found[0]: found[2]}

    def _load(self, cookie: str) -> tuple[str, str, int] | None:
        if not self.token():
            return None
        try:
            number, actor, expires_at = self._signer().loads(cookie)
        except (BadSignature, ValueError, TypeError):
            return None
        return str(number), str(actor), int(expires_at)

    def _signer(self) -> URLSafeSerializer:
        # The key follows from the token: a new token ends every session.
        return URLSafeSerializer(
            self.token(), salt=COOKIE, signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
        )


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
