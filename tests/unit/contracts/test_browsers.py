"""Which applications are browsers."""

from __future__ import annotations

import pytest

from netally.contracts.browsers import BROWSERS, DIRECTORIES, PROGRAMS, browser_of


@pytest.mark.parametrize(
    ("name", "executable", "browser"),
    [
        ("firefox", "", "Firefox"),
        ("firefox-bin", "", "Firefox"),
        ("firefox-esr", "/usr/lib/firefox-esr/firefox-esr", "Firefox"),
        ("Socket Process", "/usr/lib/firefox/firefox", "Firefox"),
        ("Isolated Web Co", "/snap/firefox/4336/usr/lib/firefox/firefox", "Firefox"),
        ("org.mozilla.firefox", "/app/lib/firefox/firefox-bin", "Firefox"),
        ("firefox.real", "/home/ada/tor-browser/Browser/firefox.real", "Tor Browser"),
        ("tor", "/home/ada/.local/share/torbrowser/tbb/x86_64/tor-browser/Browser/TorBrowser/Tor/tor", "Tor Browser"),
        ("zen", "/opt/zen/zen", "Zen"),
        ("zen-bin", "/app/zen/zen-bin", "Zen"),
        ("chrome", "/opt/google/chrome/chrome", "Chrome"),
        ("chrome", "/opt/google/chrome/chrome (deleted)", "Chrome"),
        ("google-chrome-stable", "", "Chrome"),
        ("Google Chrome Helper", "", "Chrome"),
        ("chrome", "/snap/chromium/2805/usr/lib/chromium-browser/chrome", "Chromium"),
        ("chromium-browser", "", "Chromium"),
        ("chrome", "/root/.cache/ms-playwright/chromium-1097/chrome-linux/chrome", "Chromium"),
        ("msedge", "/opt/microsoft/msedge/msedge", "Edge"),
        ("Microsoft Edge", "", "Edge"),
        ("brave", "/opt/brave.com/brave/brave", "Brave"),
        ("com.brave.Browser", "/app/brave/brave", "Brave"),
        ("vivaldi-bin", "/opt/vivaldi/vivaldi-bin", "Vivaldi"),
        ("opera", "/usr/lib/x86_64-linux-gnu/opera/opera", "Opera"),
        ("Safari", "/Applications/Safari.app/Contents/MacOS/Safari", "Safari"),
        ("librewolf", "/usr/share/librewolf/librewolf", "LibreWolf"),
        ("io.gitlab.librewolf-community", "", "LibreWolf"),
        ("epiphany", "/usr/bin/epiphany", "Epiphany"),
        ("org.gnome.Epiphany", "", "Epiphany"),
        ("falkon", "/usr/bin/falkon", "Falkon"),
        ("python3", "/usr/bin/qutebrowser", "qutebrowser"),
    ],
)
def test_browsers_are_known(name: str, executable: str, browser: str) -> None:
    assert browser_of(name, executable) == browser


@pytest.mark.parametrize(
    ("name", "executable"),
    [
        ("", ""),
        ("curl", "/usr/bin/curl"),
        ("code", "/usr/share/code/chrome-sandbox"),
        ("chrome_crashpad_handler", "/opt/Signal/chrome_crashpad_handler"),
        ("chrome-remote-desktop-host", "/opt/google/chrome-remote-desktop/chrome-remote-desktop-host"),
        ("thunderbird", "/usr/lib/thunderbird/thunderbird"),
        ("sync", "/home/brave/bin/sync"),
        ("tor", "/usr/bin/tor"),
        ("operator", "/usr/bin/operator"),
        ("zenity", "/usr/bin/zenity"),
        ("WebKitNetworkProcess", "/usr/libexec/webkit2gtk-4.1/WebKitNetworkProcess"),
    ],
)
def test_other_programs_are_none(name: str, executable: str) -> None:
    assert browser_of(name, executable) is None


def test_the_tables_agree() -> None:
    assert {browser for _, browser in DIRECTORIES} <= set(BROWSERS)
    assert all(part == part.lower() for part, _ in DIRECTORIES)
    assert all(name == name.lower() for name in PROGRAMS)
