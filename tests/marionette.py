"""Firefox without a screen, driven over Marionette, the protocol beneath its WebDriver: extensions can be loaded by it.

Messages are JSON with their length before them: ``[0, id, command, parameters]`` there, ``[1, id, error, result]``
back (Firefox's source, remote/doc/marionette/Protocol.md).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.services import die_with_parent, wait_until

ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"
"""Key of an element's reference (W3C WebDriver section 12.1)."""
PREFERENCES: Final[dict[str, object]] = {
    # A person would be asked; nobody can click there without a screen.
    "extensions.webextOptionalPermissionPrompts": False,
    # Nothing of Firefox's own on the wire.
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.security.https_first": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.trr.mode": 5,
    "services.settings.server": "data:,",
    "marionette.port": 0,
}


class Firefox:
    """A running Firefox and its one session."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._last = 0
        self._read()
        self.ask("WebDriver:NewSession", acceptInsecureCerts=True)

    def ask(self, command: str, **parameters: Any) -> Any:
        self._last += 1
        message = json.dumps([0, self._last, command, parameters]).encode()
        self._connection.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        assert error is None, f"{command}: {error['error']}: {error['message']}"
        return result.get("value", result) if isinstance(result, dict) else result

    def _read(self) -> Any:
        length = b""
        while (character := self._lines.read(1)) != b":":
            assert character, "Firefox ended"
            length += character
        return json.loads(self._lines.read(int(length)))

    def open(self, address: str) -> None:
        self.ask("WebDriver:Navigate", url=address)

    def element(self, selector: str) -> str:
        found = self.ask("WebDriver:FindElement", using="css selector", value=selector)
        return str(found[ELEMENT])

    def fill(self, selector: str, text: str) -> None:
        self.ask("WebDriver:ElementSendKeys", id=self.element(selector), text=text)

    def click(self, selector: str) -> None:
        self.ask("WebDriver:ElementClick", id=self.element(selector))

    def text(self, selector: str) -> str:
        return str(self.ask("WebDriver:GetElementText", id=self.element(selector)))

    def new_window(self, *, private: bool = False) -> None:
        made = self.ask("WebDriver:NewWindow", type="window", private=private)
        self.ask("WebDriver:SwitchToWindow", handle=made["handle"])

    def close_window(self) -> None:
        left = self.ask("WebDriver:CloseWindow")
        self.ask("WebDriver:SwitchToWindow", handle=left[0])

    def install(self, archive: Path) -> str:
        """Load an extension until Firefox ends; the address of its folder."""
        number = self.ask("Addon:Install", path=str(archive), temporary=True)
        self.ask("Marionette:SetContext", value="chrome")
        name = self.ask(
            "WebDriver:ExecuteScript",
            script="return WebExtensionPolicy.getByID(arguments[0]).mozExtensionHostname",
            args=[number],
        )
        self.ask("Marionette:SetContext", value="content")
        return f"moz-extension://{name}/"


@contextlib.contextmanager
def firefox(directory: Path, **preferences: object) -> Iterator[Firefox]:
    """Firefox with a new profile; ``preferences`` with ``_`` for dots."""
    profile = directory / "profile"
    profile.mkdir()
    wanted = PREFERENCES | {name.replace("_", "."): value for name, value in preferences.items()}
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in wanted.items()]
    (profile / "user.js").write_text("\n".join(lines))
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    assert program, "Firefox is missing: install firefox-esr"
    output = (directory / "firefox.log").open("wb")
    process = subprocess.Popen(
        [program, "--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", profile],
        env={**os.environ, "HOME": str(directory), "MOZ_DISABLE_AUTO_SAFE_MODE": "1"},
        stdout=output, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=die_with_parent,
    )  # fmt: skip
    try:
        port_file = profile / "MarionetteActivePort"

        def listens() -> bool:
            assert process.poll() is None, (directory / "firefox.log").read_text(errors="replace")[-2000:]
            return port_file.exists() and port_file.read_text().strip().isdigit()

        wait_until(listens, within=60, every=0.1)
        with socket.create_connection(("127.0.0.1", int(port_file.read_text())), 60) as connection:
            yield Firefox(connection)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        output.close()
