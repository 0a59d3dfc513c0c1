"""Who asks: the admin token, tokens of the database, login codes, session cookies.

A session's cookie is signed and names the token that opened it, so that it can do what the token can, for as long as
the token can. A login code is signed as well and carries the number that its session will have, so that every instance
takes what one of them made; that it works once is what the bus says, which is told of each session that is opened.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from itsdangerous import BadSignature, Signer, URLSafeSerializer

from netally.api.access_reports import AccessReports
from netally.api.access_state import AccessState, KnownToken
from netally.api.attempt_limit import AttemptLimit
from netally.api.problems import ProblemError, too_many, unauthorized, unavailable
from netally.api.token_secrets import TokenHashing, digest, id_of
from netally.contracts.access import SessionUse
from netally.contracts.queries import LoginCode, Session

COOKIE: Final = "netally_session"
SESSION_SECONDS: Final = 12 * 3600
IDLE_SECONDS: Final = 2 * 3600
CODE_SECONDS: Final = 600
MOST_CODES: Final = 10_000
TOKEN_FILE: Final = "admin-token"  # noqa: S105  (a file's name)
ADMIN: Final = "admin"

_NUMBER: Final = re.compile("[0-9a-f]{32}")
_CODE: Final = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{0,16})\.([0-9a-f]{1,12})")
_CODE_SALT: Final = "netally_code"

log = structlog.get_logger()


class Opened(NamedTuple):
    session: Session
    cookie: str
    """Value of the cookie."""

    def __repr__(self) -> str:
        return f"Opened({self.session.actor})"


class _Code(NamedTuple):
    number: str
    """Of the session that it opens."""
    token: str
    expires_at: int


class _Signing(NamedTuple):
    token: str
    """Admin token that the keys follow from."""
    cookies: URLSafeSerializer
    codes: Signer


class _Cookie(NamedTuple):
    number: str
    token: str
    """Empty for the admin token."""
    opened_at: int
    expires_at: int


class Access:
    """Checks and issues credentials. ``clock`` gives epoch milliseconds."""

    def __init__(
        self, token: str, token_file: Path, clock: Callable[[], int], state: AccessState, reports: AccessReports
    ) -> None:
        self._given = token
        self._file = token_file
        self._read: tuple[float, str] = (0.0, "")
        self._signer: _Signing | None = None
        self._clock = clock
        self._made: dict[str, int] = {}
        self._used: dict[str, int] = {}
        self._checking: dict[str, asyncio.Task[bool]] = {}
        self._state = state
        self._reports = reports
        self.hashing = TokenHashing()
        self.attempts = AttemptLimit(clock)

    # --- the admin token ----------------------------------------------------------------------------------------

    def token(self) -> str:
        """The admin token; empty while there is none (then it lets nobody in)."""
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
        return bool(known) and hmac.compare_digest(digest(token), digest(known))

    # --- bearer tokens ------------------------------------------------------------------------------------------

    async def of_bearer(self, text: str, address: str, *, limited: bool = True) -> Session:
        """Who a bearer token is. Raises the 401 of a wrong one, the 429 when too many were, the 503 when nobody knows.

        What was right before needs no attempt, so that one client's wrong token does not hold up another behind the
        same address; but for the admin token, which people choose.
        """
        token = id_of(text)
        known = await self._state.token(token) if token else None
        if known is not None and self.hashing.is_known(text, known.hash):
            return self._session_of_token(known)
        checking = self._checking.get(text)
        if checking is None:
            wait = self.attempts.wait_seconds(address) if limited else 0
            if wait:
                raise too_many("Too many wrong tokens from this address.", wait)
            if self.is_admin(text):
                self.attempts.succeeded(address)
                return Session(actor=ADMIN, expires_at=None)
            if token and known is None and not self._state.is_known:
                raise unavailable("The token cannot be checked: the database is away.")
            self.attempts.failed(address)
            if known is None:
                raise unauthorized("The token is not valid.")
            # A page asks for many things at once: they are one attempt.
            checking = self._checking[text] = asyncio.create_task(self._check_hash(text, known, address))
        if known is None or not await asyncio.shield(checking):
            raise unauthorized("The token is not valid.")
        return self._session_of_token(known)

    async def _check_hash(self, text: str, known: KnownToken, address: str) -> bool:
        try:
            right = await self.hashing.is_right(text, known.hash)
        finally:
            del self._checking[text]
        if right:
            self.attempts.forgive(address)
        return right

    def _session_of_token(self, known: KnownToken) -> Session:
        self._check_expiry(known)
        self._reports.token(known.id, self._clock())
        return Session(actor=known.actor, expires_at=None, role=known.role, hosts=known.hosts, token=known.id)

    def _check_expiry(self, known: KnownToken) -> None:
        if known.expires_at is not None and known.expires_at <= self._clock():
            raise unauthorized("The token has expired.")

    async def still(self, session: Session, cookie: str) -> bool:
        """Whether credentials that were good when a request began are good now."""
        try:
            if cookie:
                await self.of_cookie(cookie)
            elif session.token:
                known = await self._state.token(session.token)
                if known is None:
                    return not self._state.is_known
                self._check_expiry(known)
        except ProblemError as error:
            return error.problem.status == 503
        return True

    # --- sessions -----------------------------------------------------------------------------------------------

    def new_code(self, token: str = "") -> LoginCode:
        """A code that opens one session of the token (empty: the admin token) within ten minutes, on any instance."""
        number, expires_at = secrets.token_hex(16), self._clock() + CODE_SECONDS * 1000
        self._keep(self._made, number, expires_at)
        code = self._signing().codes.sign(f"{number}.{token}.{expires_at:x}").decode("ascii")
        return LoginCode(code=code, expires_at=expires_at)

    async def open_session(self, code: str) -> Opened | None:
        """None for a code that is unknown, used or too old. Raises the 503 when nobody knows whether it was used."""
        made = self._read_code(code)
        now = self._clock()
        if made is None or made.expires_at <= now or made.number in self._used:
            return None
        # Before anything is waited for: of two at once one comes here.
        self._keep(self._used, made.number, made.expires_at)
        end = now + SESSION_SECONDS * 1000
        known = None
        if made.token:
            known = await self._state.token(made.token)
            if known is None or (known.expires_at is not None and known.expires_at <= now):
                return None
            end = min(end, known.expires_at or end)
        if await self._state.session(made.number) is not None:
            return None
        first = await self._reports.opened(SessionUse(made.number, made.token, now, end, now))
        if first is None and made.number not in self._made:
            del self._used[made.number]
            raise unavailable("The code was made by another instance of the API, and the bus is away.")
        if first is False:
            return None
        found = _Cookie(made.number, made.token, now, end)
        return Opened(_session(found, known), self._signing().cookies.dumps(list(found)))

    def _keep(self, codes: dict[str, int], number: str, expires_at: int) -> None:
        now = self._clock()
        for old in [one for one, end in codes.items() if end <= now]:
            del codes[old]
        while len(codes) >= MOST_CODES:
            del codes[next(iter(codes))]
        codes[number] = expires_at

    def _read_code(self, code: str) -> _Code | None:
        if not self.token() or not code.isascii():
            return None
        try:
            found = _CODE.fullmatch(self._signing().codes.unsign(code).decode("ascii"))
        except BadSignature:
            return None
        return _Code(found[1], found[2], int(found[3], 16)) if found else None

    async def of_cookie(self, cookie: str) -> Session:
        """The session of a cookie. Raises the 401 when it is forged, over or ended, the 503 when nobody knows."""
        found = self._load(cookie)
        over = unauthorized("The session is over: log in again.")
        now = self._clock()
        if found is None or found.expires_at <= now:
            raise over
        used = await self._state.session(found.number)
        last_used, ended = used or (found.opened_at, False)
        if ended:
            raise over
        known = None
        if found.token:
            known = await self._state.token(found.token)
            if known is None and not self._state.is_known:
                raise unavailable("The session cannot be checked: the database is away.")
            if known is None:
                raise over
            self._check_expiry(known)
        if now - max(last_used, found.opened_at) > IDLE_SECONDS * 1000:
            if used is None and not self._state.is_known:
                raise unavailable("The session cannot be checked: the database is away.")
            raise over
        self._reports.session(SessionUse(found.number, found.token, found.opened_at, found.expires_at, now))
        return _session(found, known)

    def end_session(self, cookie: str) -> None:
        """For all copies of the cookie, on every instance."""
        found = self._load(cookie)
        if found is not None:
            use = SessionUse(found.number, found.token, found.opened_at, found.expires_at, self._clock(), ended=True)
            self._reports.session(use, at_once=True)

    def _load(self, cookie: str) -> _Cookie | None:
        if not self.token():
            return None
        try:
            number, token, opened_at, expires_at = self._signing().cookies.loads(cookie)
        except (BadSignature, ValueError, TypeError):
            return None
        if not (isinstance(number, str) and _NUMBER.fullmatch(number) and isinstance(token, str)):
            return None
        return _Cookie(number, token, int(opened_at), int(expires_at))

    def _signing(self) -> _Signing:
        # The key follows from the token: a new token ends every session. Slowly, as a cookie would otherwise let
        # whoever has one try out admin tokens.
        token = self.token()
        if self._signer is None or self._signer.token != token:
            key = hashlib.scrypt(token.encode("utf-8", "surrogatepass"), salt=COOKIE.encode(), n=2**14, r=8, p=1)
            cookies = URLSafeSerializer(
                key, salt=COOKIE, signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
            )
            codes = Signer(key, salt=_CODE_SALT, key_derivation="hmac", digest_method=hashlib.sha256)
            self._signer = _Signing(token, cookies, codes)
        return self._signer


def _session(found: _Cookie, known: KnownToken | None) -> Session:
    if known is None:
        return Session(actor=ADMIN, expires_at=found.expires_at)
    return Session(actor=known.actor, expires_at=found.expires_at, role=known.role, hosts=known.hosts, token=known.id)
