"""``netally pair-browser`` orders a token that is bound to one host."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from netally.cli import pair_browser


@pytest.mark.parametrize(("arguments", "host"), [([], "this-machine"), (["--host", "desk"], "desk")])
def test_a_code_is_bound_to_one_host(monkeypatch: pytest.MonkeyPatch, arguments: list[str], host: str) -> None:
    ordered: list[Any] = []

    def ask(method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        ordered.append((method, path, body))
        return {"secret": "the-code", "token": {"id": "0123456789abcdef"}}

    monkeypatch.setattr(pair_browser, "ask", ask)
    monkeypatch.setenv("NETALLY_HOST", "this-machine")
    done = CliRunner().invoke(pair_browser.pair_browser, arguments)
    assert (done.exit_code, done.stdout) == (0, "the-code\n")
    assert f"Paired with host {host}" in done.stderr
    assert ordered == [("POST", "/api/tokens", {"name": "browser", "role": "browser", "hosts": [host]})]
