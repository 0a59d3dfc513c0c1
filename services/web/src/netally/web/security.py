"""Headers that every response carries, and who may post a form."""

from __future__ import annotations

from urllib.parse import urlsplit

from litestar.datastructures import MutableScopeHeaders
from litestar.types import Message, Scope

from netally.web.visits import AnyRequest, client_of

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
}


async def set_headers(message: Message, scope: Scope) -> None:
    """``before_send`` hook: the only place that sees every response, errors and static files included.

    What the API set for its own answers under /api/ stays, so that its documentation pages can relax the policy.
    """
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    proxied = scope["path"].startswith("/api/")
    for name, value in {"Content-Security-Policy": CONTENT_SECURITY_POLICY, **HEADERS}.items():
        if not (proxied and name in headers):
            headers[name] = value
    if "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-store"
    if scope["scheme"] == "https":
        headers["Strict-Transport-Security"] = "max-age=31536000"


def same_origin(request: AnyRequest) -> bool:
    """Whether a form comes from one of our own pages. Browsers send Origin with every post; other clients need not."""
    site = request.headers.get("sec-fetch-site", "")
    if site and site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin", "")
    try:
        return not origin or urlsplit(origin).netloc in (request.headers.get("host", ""), client_of(request).host)
    except ValueError:  # "http://[::1": no browser says so
        return False


def local_path(wanted: str) -> str:
    """A path to go back to, or ``/`` for anything that could lead to another site."""
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "/"
    inside = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return wanted if inside and wanted.isprintable() else "/"
