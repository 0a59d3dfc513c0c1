"""HTTP/1 requests (RFC 9112): the host a client asks for, from the first bytes of its stream.

Pure: the bytes come from `netally.capture.client_stream`, in order, as far as they are known. Never raises.
"""

from __future__ import annotations

import re
from typing import Final, Literal

MORE: Final = "more"
NOT_HTTP: Final = "not http"

MAX_HEAD: Final = 16 * 1024
"""Bytes of a request's head read; servers refuse longer ones."""

_METHOD = re.compile(rb"[A-Z][A-Z_-]{1,23} [!-~\x80-\xff]")
_METHOD_PART = re.compile(rb"[A-Z][A-Z_-]{,23} ?")
# Blanks in a target are wrong and common.
_REQUEST_LINE = re.compile(rb"[A-Z][A-Z_-]{1,23} +([!-~\x80-\xff][ -~\x80-\xff]*?) +HTTP/[01]\.[0-9]\s*$")
_HOST = re.compile(rb"\n[Hh][Oo][Ss][Tt][ \t]*:[ \t]*([^\r\n]*)\r?\n")
_END = re.compile(rb"\n\r?\n")
_AUTHORITY = re.compile(rb"(?:[a-z][a-z0-9+.-]*://)?(?:[^/?#@]*@)?([^/?#]*)", re.IGNORECASE)
_PORT = re.compile(r":[0-9]*$")


def looks_like_request(data: bytes) -> bool:
    """Whether a segment may begin a request: a method in capitals, a blank, a target. SIP and SMTP begin so as well."""
    return _METHOD.match(data) is not None


def parse_request_host(stream: bytes) -> str | Literal["more", "not http"]:
    """Host of the request at the beginning of a client's stream, without its port, as sent; empty when it names none.

    `MORE` while the head may still name it, `NOT_HTTP` for anything else. The Host field counts; without one, the
    authority of the target (a proxy's ``GET http://…`` or ``CONNECT``).
    """
    stream = stream.lstrip(b"\r\n")  # empty lines before a request are passed over (RFC 9112 section 2.2)
    if not stream:
        return MORE
    line_end = stream.find(b"\n", 0, MAX_HEAD)
    if line_end < 0:
        begins = looks_like_request(stream) or _METHOD_PART.fullmatch(stream) is not None
        return MORE if begins and len(stream) < MAX_HEAD else NOT_HTTP
    line = _REQUEST_LINE.match(stream, 0, line_end)
    if line is None:
        return NOT_HTTP
    host = _host_field(stream, line_end)
    if host is not None:
        return _without_port(host)
    head_end = _END.search(stream, line_end, MAX_HEAD)
    if head_end is None and len(stream) < MAX_HEAD:
        return MORE
    target = line[1]
    if b"://" in target or stream.startswith(b"CONNECT "):
        authority = _AUTHORITY.match(target)
        return _without_port(authority[1]) if authority is not None else ""
    return ""


def _host_field(stream: bytes, line_end: int) -> bytes | None:
    """Value of the first Host field that is there as a whole line before the head's end."""
    field = _HOST.search(stream, line_end, MAX_HEAD)
    if field is None or _END.search(stream, line_end, field.start() + 1) is not None:
        return None
    return field[1]


def _without_port(authority: bytes) -> str:
    host = authority[:512].decode("latin-1").strip(" \t")
    if ":" in host:
        host = _PORT.sub("", host).strip("[]")
    return host
