from __future__ import annotations

from netally.telemetry.settings import load_settings
from netally.web.settings import WebSettings


def test_the_api_is_on_this_machine_unless_it_is_named() -> None:
    assert load_settings(WebSettings, {"NETALLY_API_PORT": "7999"}).api_base == "http://127.0.0.1:7999"
    named = load_settings(WebSettings, {"NETALLY_API_PORT": "7999", "NETALLY_API_URL": "http://hub.example.org:80/"})
    assert named.api_base == "http://hub.example.org:80"
