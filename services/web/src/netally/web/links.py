"""Addresses of the pages about what is known by its name alone; named.py answers them."""

from __future__ import annotations

from urllib.parse import urlencode


def to_application(name: str) -> str:
    """Address that leads to an application; ``/applications/0`` is traffic without a process."""
    return f"/applications/named?{urlencode({'name': name})}" if name else "/applications/0"


def to_domain(name: str, remote: str) -> str:
    """Address that leads to a domain; to who talked with the address where there is no name."""
    if name:
        return f"/domains/named?{urlencode({'name': name})}"
    return f"/explore?{urlencode({'range': '1h', 'by': 'app', 'filter': f'remote = {remote}'})}" if remote else ""


def to_host(name: str) -> str:
    return f"/hosts/named?{urlencode({'name': name})}"
