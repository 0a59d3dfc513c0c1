"""Which applications are browsers, by the name and the program they are known under. Pure.

A browser is many programs: a launcher, the browser itself, helpers named after their task ("Socket Process"). All of
them run from the browser's own directory, so the directory counts first; it also tells apart what shares a program name
(Tor Browser's program is called ``firefox``, snap Chromium's is ``chrome``). Names count where no directory tells.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_DIRECTORIES: Final[tuple[tuple[str, str], ...]] = (
    # Part of the program's path in lower case, and the browser. The first that fits counts.
    ("/tor-browser", "Tor Browser"),
    ("/tor browser", "Tor Browser"),
    ("/mullvad-browser", "Mullvad Browser"),
    ("/mullvadbrowser", "Mullvad Browser"),
    ("/librewolf", "LibreWolf"),
    ("/waterfox", "Waterfox"),
    ("/floorp", "Floorp"),
    ("/palemoon", "Pale Moon"),
    ("/seamonkey", "SeaMonkey"),
    ("/zen-browser", "Zen"),
    ("/zen browser", "Zen"),
    ("/zen.app/", "Zen"),
    ("/opt/zen/", "Zen"),
    ("/lib/zen/", "Zen"),
    ("/app/zen/", "Zen"),
    ("/io.github.zen_browser.zen/", "Zen"),
    ("/app.zen_browser.zen/", "Zen"),
    ("/icecat", "IceCat"),
    ("/org.mozilla.firefox/", "Firefox"),
    ("/firefox/", "Firefox"),
    ("/firefox-", "Firefox"),
    ("/firefox.app/", "Firefox"),
    ("/brave.com/brave", "Brave"),
    ("/brave-browser", "Brave"),
    ("/brave-bin/", "Brave"),
    ("/brave browser", "Brave"),
    ("/snap/brave/", "Brave"),
    ("/com.brave.browser/", "Brave"),
    ("/opt/vivaldi", "Vivaldi"),
    ("/lib/vivaldi", "Vivaldi"),
    ("/snap/vivaldi/", "Vivaldi"),
    ("/vivaldi.app/", "Vivaldi"),
    ("/com.vivaldi.vivaldi/", "Vivaldi"),
    ("/microsoft/msedge", "Edge"),
    ("/microsoft-edge", "Edge"),
    ("/microsoft edge", "Edge"),
    ("/com.microsoft.edge/", "Edge"),
    ("/linux-gnu/opera", "Opera"),
    ("/lib/opera", "Opera"),
    ("/opt/opera", "Opera"),
    ("/snap/opera", "Opera"),
    ("/opera.app/", "Opera"),
    ("/com.opera.opera/", "Opera"),
    ("/yandex/browser", "Yandex"),
    ("/thorium", "Thorium"),
    ("/ungoogled-chromium", "Chromium"),
    ("/org.chromium.chromium/", "Chromium"),
    ("/chromium/", "Chromium"),
    ("/chromium-", "Chromium"),
    ("/chromium.app/", "Chromium"),
    ("/google/chrome/", "Chrome"),
    ("/google/chrome-beta/", "Chrome"),
    ("/google/chrome-unstable/", "Chrome"),
    ("/google chrome", "Chrome"),
    ("/com.google.chrome/", "Chrome"),
    ("/safari.app/", "Safari"),
    ("/org.gnome.epiphany/", "Epiphany"),
    ("/snap/epiphany/", "Epiphany"),
    ("/org.kde.falkon/", "Falkon"),
    ("/snap/falkon/", "Falkon"),
    ("/qutebrowser/", "qutebrowser"),
    ("/org.qutebrowser.qutebrowser/", "qutebrowser"),
)

_NAMES: Final[dict[str, tuple[str, ...]]] = {
    # In lower case. Only names that no other kind of program has: "chrome-sandbox" ships with every Electron program.
    "Firefox": (
        *("firefox", "firefox-bin", "firefox-esr", "firefox-beta", "firefox-nightly", "firefox-trunk"),
        *("firefox-devedition", "firefox-developer-edition", "firefoxdeveloperedition", "firefox nightly"),
        *("firefox-wayland", "mozilla firefox", "org.mozilla.firefox", "firefox.exe"),
    ),
    "Zen": (
        *("zen", "zen-bin", "zen-browser", "zen-browser-bin", "zen browser", "zen-alpha", "zen-twilight", "zen.exe"),
        *("app.zen_browser.zen", "io.github.zen_browser.zen"),
    ),
    "Chrome": (
        *("chrome", "google-chrome", "google-chrome-stable", "google-chrome-beta", "google-chrome-unstable"),
        *("google-chrome-canary", "google chrome", "google chrome helper", "com.google.chrome", "chrome.exe"),
    ),
    "Chromium": (
        *("chromium", "chromium-bin", "chromium-browser", "chromium-freeworld", "ungoogled-chromium"),
        *("chromium-browser-privacy", "headless_shell", "chrome-headless-shell", "chromium helper"),
        *("org.chromium.chromium", "io.github.ungoogled_software.ungoogled_chromium", "chromium.exe"),
    ),
    "Edge": (
        *("msedge", "microsoft-edge", "microsoft-edge-stable", "microsoft-edge-beta", "microsoft-edge-dev"),
        *("microsoft edge", "microsoft edge helper", "com.microsoft.edge", "com.microsoft.edgedev"),
        *("msedge.exe",),
    ),
    "Brave": (
        *("brave", "brave-browser", "brave-browser-stable", "brave-browser-beta", "brave-browser-nightly"),
        *("brave-bin", "brave browser", "brave browser helper", "com.brave.browser", "brave.exe"),
    ),
    "Safari": (
        *("safari", "safari technology preview", "safariforwebkitdevelopment", "com.apple.safari"),
        *("safari web content",),
    ),
    "Vivaldi": (
        *("vivaldi", "vivaldi-bin", "vivaldi-stable", "vivaldi-snapshot", "vivaldi helper"),
        *("com.vivaldi.vivaldi", "vivaldi.exe"),
    ),
    "Opera": ("opera", "opera-stable", "opera-beta", "opera-developer", "opera helper", "com.opera.opera", "opera.exe"),
    "Tor Browser": (
        *("tor browser", "tor-browser", "torbrowser", "torbrowser-launcher", "start-tor-browser", "firefox.real"),
        *("org.torproject.torbrowser-launcher", "com.github.micahflee.torbrowser-launcher"),
    ),
    "Mullvad Browser": ("mullvad browser", "mullvad-browser", "mullvadbrowser", "net.mullvad.mullvadbrowser"),
    "LibreWolf": ("librewolf", "librewolf-bin", "io.gitlab.librewolf-community", "librewolf.exe"),
    "Waterfox": ("waterfox", "waterfox-bin", "waterfox-g", "net.waterfox.waterfox"),
    "Floorp": ("floorp", "floorp-bin", "one.ablaze.floorp"),
    "IceCat": ("icecat", "gnu icecat"),
    "Pale Moon": ("palemoon", "palemoon-bin", "pale moon"),
    "SeaMonkey": ("seamonkey", "seamonkey-bin"),
    "Epiphany": ("epiphany", "epiphany-browser", "gnome web", "org.gnome.epiphany"),
    "Falkon": ("falkon", "org.kde.falkon"),
    "Konqueror": ("konqueror", "org.kde.konqueror"),
    "qutebrowser": ("qutebrowser", "org.qutebrowser.qutebrowser"),
    "Midori": ("midori", "org.midori_browser.midori"),
    "Yandex": ("yandex-browser", "yandex_browser", "yandex-browser-stable", "ru.yandex.browser"),
    "Thorium": ("thorium-browser", "thorium"),
    "DuckDuckGo": ("duckduckgo", "com.duckduckgo.macos.browser"),
    "Lynx": ("lynx",),
    "w3m": ("w3m",),
    "Links": ("links2", "elinks"),
}

BROWSERS: Final = tuple(_NAMES)
"""Every known browser, as it is shown to people."""

DIRECTORIES: Final = _DIRECTORIES
PROGRAMS: Final[dict[str, str]] = {name: browser for browser, names in _NAMES.items() for name in names}
"""Program or application name in lower case to browser."""


@lru_cache(maxsize=8_192)
def browser_of(name: str, executable: str = "") -> str | None:
    """The browser that an application is or belongs to, one of `BROWSERS`; None for everything else.

    ``name`` is the application's name, ``executable`` the path of its program (may be empty).
    """
    path = executable.lower().removesuffix(" (deleted)")
    for part, browser in _DIRECTORIES:
        if part in path:
            return browser
    return PROGRAMS.get(path.rpartition("/")[2]) or PROGRAMS.get(name.lower())
