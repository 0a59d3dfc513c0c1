from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

import netally.api
from netally.api.app import create_app
from netally.api.documents import ASSETS
from netally.api.settings import Settings
from tests.api_in_process import running_api

STATIC = Path(netally.api.__file__).parent / "static"

ANONYMOUS = {("/api/health", "get"), ("/api/ready", "get"), ("/api/session", "post")}


def document() -> dict[str, Any]:
    return create_app(Settings()).openapi_schema.to_schema()


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method in {"get", "post", "put", "patch", "delete"}
    ]


def test_vendored_files_are_those_of_the_manifest() -> None:
    (package,) = json.loads((STATIC / "swagger-ui/manifest.json").read_text())
    assert (package["name"], package["version"]) == ("swagger-ui-dist", "5.35.0")
    assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"])
    for name, digest in package["files"].items():
        assert hashlib.sha256((STATIC / "swagger-ui" / name).read_bytes()).hexdigest() == digest, name
    assert set(package["files"]) == {path.name for path in (STATIC / "swagger-ui").iterdir()} - {"manifest.json"}
    assert "LICENSE.txt" in package["files"]


async def test_the_page_needs_nothing_from_elsewhere() -> None:
    async with running_api() as api:
        page = await api.client.get("/api/docs")
        addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert addresses
        for address in addresses:
            if address != "data:,":
                assert address.startswith("/api/docs/assets/")
                assert (await api.client.get(address)).status_code == 200, address
        assert len(addresses) == len(ASSETS) + 1
        # No script in the page itself, and a policy that would not run it.
        assert re.findall(r"<script[^>]*>([^<]+)</script>", page.text) == []
        assert "script-src 'self';" in page.headers["content-security-policy"]
        assert (await api.client.get("/api/docs/assets/..%2Fapp.py")).status_code == 404


async def test_anonymous_is_401_at_every_operation() -> None:
    async with running_api(client_address="192.0.2.9") as api:
        for path, method, operation in operations():
            answer = await api.anonymous.request(method, re.sub(r"\{.*?\}", "1", path))
            if (path, method) in ANONYMOUS:
                assert answer.status_code != 401 or path == "/api/session"
                assert operation["security"] == [{}]
                continue
            assert answer.status_code == 401, (path, method)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["content-type"] == "application/problem+json"
            assert "401" in operation["responses"]
        for path in ("/api/docs", "/api/openapi.json", "/api/docs/assets/documents.js", "/api/", "/api"):
            assert (await api.anonymous.get(path)).status_code == 401, path


@pytest.mark.parametrize("path", ["/api/nothing", "/api/nothing.json", "/api/no/thing", "/api/docs/nothing"])
async def test_an_unknown_address_is_a_problem_that_names_it(path: str) -> None:
    async with running_api() as api:
        answer = await api.client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert path in answer.json()["detail"]


async def test_the_document_is_served_and_says_what_is_there() -> None:
    async with running_api() as api:
        served = (await api.client.get("/api/openapi.json")).json()
    assert served["info"]["version"]
    assert set(served["paths"]) >= {
        *("/api/stats/bandwidth", "/api/stats/timeline", "/api/stats/summary", "/api/applications", "/api/domains"),
        *("/api/hosts", "/api/flows", "/api/browsers", "/api/historical/monthly", "/api/filter/complete", "/api/about"),
        *("/api/live", "/api/session", "/api/session/codes", "/api/health", "/api/ready", "/metrics"),
    }


@pytest.mark.parametrize("path", ["/api/applications", "/api/domains/{domain_id}", "/api/stats/timeline", "/api/hosts"])
def test_every_parameter_is_described(path: str) -> None:
    parameters = document()["paths"][path]["get"]["parameters"]
    assert {"from", "to", "range", "tz", "host", "filter"} <= {parameter["name"] for parameter in parameters}
    for parameter in parameters:
        assert parameter["in"] == ("path" if f"{{{parameter['name']}}}" in path else "query")
        assert parameter["description"], parameter["name"]


def test_every_operation_documents_its_problems() -> None:
    for path, _, operation in operations():
        for status, answer in operation["responses"].items():
            if status[0] in "45" and path not in ("/api/ready",):
                assert list(answer["content"]) == ["application/problem+json"], (path, status)


def test_a_body_that_may_be_left_out_is_not_asked_for() -> None:
    bodies = {
        path: operation["requestBody"]["required"] for path, _, operation in operations() if "requestBody" in operation
    }
    optional = {path for path, required in bodies.items() if not required}
    assert optional == {"/api/config/aggregate", "/api/config/cleanup", "/api/config/refresh-cache"}
    assert bodies["/api/commands"] is True


async def test_bounds_of_what_a_list_holds_are_those_of_the_document() -> None:
    lists = [
        (path, operation, parameter["name"], schema["items"])
        for path, method, operation in operations()
        for parameter in operation.get("parameters", [])
        for schema in parameter["schema"].get("oneOf", [parameter["schema"]])
        if method == "get" and "minLength" in schema.get("items", {})
    ]
    assert {path for path, *_ in lists} >= {"/api/commands", "/api/export", "/api/applications"}
    async with running_api() as api:
        for path, operation, name, items in lists:
            queries = [one for one in operation["parameters"] if one["in"] == "query"]
            needed = {one["name"]: "1" * 13 for one in queries if one["required"]}
            address = re.sub(r"\{\w+\}", "1", path)
            for wrong in ("", "x" * (items["maxLength"] + 1)):
                answer = await api.client.get(address, params={**needed, name: ["good", wrong]})
                assert (answer.status_code, answer.json()["parameter"]) == (400, name), (path, wrong)
