"""The API as the command line uses it: orders a command, follows its events, downloads what it made."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from netally.cli import data_directory
from netally.cli.doctor import read_running
from netally.cli.plain_error import PlainError
from netally.cli.settings import CliSettings
from netally.cli.up import ADMIN_TOKEN
from netally.telemetry.certificates import client_context

FINAL = ("succeeded", "failed", "cancelled", "expired")
PATIENCE = httpx.Timeout(10, read=60)


class RefusedError(PlainError):
    """The API refused what was asked: exit status 2, as for a wrong option."""


class ApiClient:
    """Talks to the API of ``settings``. Every method raises PlainError in plain words."""

    def __init__(self, settings: CliSettings) -> None:
        self.base = (settings.api_url or read_running(settings).api).rstrip("/")
        token = settings.admin_token or data_directory.read_private(settings.directory / ADMIN_TOKEN)
        if not token:
            raise PlainError(
                f"there is no token in {settings.directory}: set NETALLY_ADMIN_TOKEN, or NETALLY_DATA_DIR to where "
                "`netally up` keeps it."
            )
        self._client = httpx.Client(
            base_url=self.base,
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
            trust_env=False,
            verify=client_context(settings.api_ca),
        )

    def close(self) -> None:
        self._client.close()

    def order(self, order: dict[str, Any]) -> dict[str, Any]:
        """The command as it is at once."""
        with self._plain():
            answer = self._client.post("/api/commands", json=order)
            return self._json(answer)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer to one request."""
        with self._plain():
            return self._json(self._client.request(method, path, json=body))

    def command(self, command_id: str) -> dict[str, Any]:
        with self._plain():
            found: dict[str, Any] = self._json(self._client.get(f"/api/commands/{command_id}"))["command"]
        return found

    def cancel(self, command_id: str) -> dict[str, Any]:
        with self._plain():
            return self._json(self._client.delete(f"/api/commands/{command_id}"))

    def events(self, command_id: str) -> Iterator[dict[str, Any]]:
        """Each event of a command up to its last, also over a lost connection."""
        last = 0
        failures = 0
        while True:
            try:
                with self._client.stream(
                    "GET", f"/api/commands/{command_id}/events", headers={"Last-Event-ID": str(last)}
                ) as answer:
                    if answer.status_code != 200:
                        answer.read()
                        self._json(answer)
                    for line in answer.iter_lines():
                        if line.startswith("data: "):
                            event = json.loads(line.removeprefix("data: "))
                            last, failures = event["id"], 0
                            yield event
                            if event["state"] in FINAL:
                                return
            except httpx.HTTPError as error:
                failures += 1
                if failures > 10:
                    raise PlainError(f"the API at {self.base} does not answer ({error}).") from None
                time.sleep(1)

    def download(self, path: str, target: Path, sha256: str) -> int:
        """Bytes written. The file has its name only once it is whole and has this digest."""
        partial = target.with_name(f".{target.name}.part")
        digest = hashlib.sha256()
        size = 0
        try:
            with self._plain(), self._client.stream("GET", path) as answer, partial.open("wb") as file:
                if answer.status_code != 200:
                    answer.read()
                    self._json(answer)
                for chunk in answer.iter_bytes(256 * 1024):
                    digest.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            if digest.hexdigest() != sha256:
                raise PlainError(f"what came for {target} is not what was exported: download it again.")
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return size

    def _json(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            found: dict[str, Any] = answer.json()
        except ValueError:
            raise PlainError(f"{self.base} answers with status {answer.status_code}: is it Netally's API?") from None
        if answer.status_code == 401:
            raise PlainError(
                "the API refuses the token: NETALLY_ADMIN_TOKEN differs from the one `netally up` was given."
            )
        if answer.status_code in (400, 404, 409):
            raise RefusedError(found.get("detail", f"refused with status {answer.status_code}"))
        if answer.status_code >= 400:
            raise PlainError(found.get("detail", f"the API answers with status {answer.status_code}"))
        return found

    @contextmanager
    def _plain(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise PlainError(
                f"the API at {self.base} does not answer ({error}); is `netally up` running? NETALLY_API_URL names "
                "another."
            ) from None


class ProgressLine:
    """One line on stderr that is drawn over; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()

    def show(self, event: dict[str, Any]) -> None:
        """``detail.share`` (0 to 1) of an event draws a bar."""
        if not self._terminal:
            return
        share = event["detail"].get("share")
        bar = "" if share is None else f"[{'#' * round(share * 30):<30}] {share:4.0%} "
        sys.stderr.write(f"\r\x1b[K{bar}{event['message']}"[:200])
        sys.stderr.flush()

    def end(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
