"""The pages and the API as processes, attacked from outside."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.access_tokens import bearer
from tests.api_in_process import TOKEN
from tests.certificates import write_certificate
from tests.services import die_with_parent, eventually, free_port
from tests.site_process import Site, site

HEADERS = ("content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy")


async def log_in(at: Site, **headers: str) -> httpx.Response:
    return await at.client.post("/login", data={"secret": TOKEN}, headers={"Origin": at.url, **headers})


async def test_whoever_guesses_locks_out_himself_alone_and_is_told_in_words() -> None:
    # A proxy that is believed tells several people apart, who share an address here.
    async with site(NETALLY_TRUSTED_PROXIES="127.0.0.1") as at:
        attacker, other = {"X-Forwarded-For": "198.51.100.7"}, {"X-Forwarded-For": "198.51.100.8"}
        guesses = [
            (await at.client.get("/api/session", headers={**bearer(f"guess {n}"), **attacker})).status_code
            for n in range(12)
        ]
        assert guesses == [401] * 10 + [429] * 2
        locked = await log_in(at, **attacker)
        assert (locked.status_code, "Try again in" in locked.text) == (429, True)
        page = await at.client.get("/", headers={**bearer("x"), **attacker})
        assert (page.status_code, "Too many wrong attempts." in page.text) == (429, True)
        # Nobody is believed who says that he is somebody else and comes from elsewhere.
        chain = {"X-Forwarded-For": "203.0.113.1, 198.51.100.7"}
        assert (await at.client.get("/api/session", headers={**bearer(TOKEN), **chain})).status_code == 429
        assert (await at.client.get("/api/session", headers={**bearer(TOKEN), **other})).status_code == 200
        assert (await log_in(at, **other)).status_code == 303
        # Behind an ingress that ends TLS the browser's own name and scheme count, for the form and for the cookie.
        public = {"X-Forwarded-Host": "netally.example.org", "X-Forwarded-Proto": "https", **other}
        inside = await log_in(at, **public, Origin="https://netally.example.org")
        assert (inside.status_code, "Secure" in inside.headers["set-cookie"]) == (303, True)
        assert (await log_in(at, **public, Origin="https://evil.test")).status_code == 403


async def test_a_change_takes_our_own_page_also_through_the_proxy() -> None:
    async with site() as at:
        assert (await log_in(at)).status_code == 303
        assert (await at.client.get("/api/session")).json()["actor"] == "admin"
        for headers in (
            {"Origin": "http://evil.test"},
            {"Origin": "null"},
            {"Origin": at.url, "Sec-Fetch-Site": "cross-site"},
            {"Origin": f"{at.url}.evil.test"},
            {},
        ):
            for method, path in (("POST", "/api/commands"), ("DELETE", "/api/session"), ("PUT", "/api/config")):
                answer = await at.client.request(method, path, json={}, headers=headers)
                assert answer.status_code == 403, (method, path, headers, answer.text)
        for path in ("/logout", "/operations/cleanup", "/tokens", "/appearance"):
            answer = await at.client.post(path, data={}, headers={"Origin": "http://evil.test"})
            assert answer.status_code == 403, path
        assert (await at.client.get("/api/session")).status_code == 200
        # Ours go through, up to what is away here.
        assert (await at.client.post("/logout", headers={"Origin": at.url})).status_code == 303
        assert (await at.client.get("/api/session")).status_code == 401


async def test_every_answer_has_the_headers_and_nothing_leads_elsewhere() -> None:
    async with site() as at:
        asked = [
            ("GET", "/"), ("GET", "/login"), ("GET", "/nothing"), ("GET", "/static/nothing"), ("POST", "/"),
            ("GET", "/static/../app.py"), ("GET", "/static/..%2fapp.py"), ("GET", "/static/%2e%2e/%2e%2e/app.py"),
            ("GET", "/api/../login"), ("GET", "/api/%2e%2e/login"), ("GET", "/api//evil.test/"),
            ("GET", "//evil.test/"),
            ("GET", "/api/docs/assets/..%2F..%2Fapp.py"), ("GET", "/api/exports/..%2f..%2fetc%2fpasswd"),
            ("GET", "/login?code=wrong&back=//evil.test"), ("GET", "/metrics"), ("GET", "/livez"), ("GET", "/readyz"),
            ("OPTIONS", "/"), ("DELETE", "/tokens"), ("GET", "/api/hosts"), ("GET", "/api/nothing"), ("TRACE", "/"),
        ]  # fmt: skip
        for method, path in asked:
            answer = await at.client.send(
                at.client.build_request(method, httpx.URL(at.url).copy_with(raw_path=path.encode()))
            )
            for name in HEADERS:
                assert name in answer.headers, (method, path, answer.status_code)
            assert "'unsafe" not in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "evil.test" not in answer.headers.get("location", "")
            assert "root:" not in answer.text
            assert "import annotations" not in answer.text
        for url in (at.url, f"http://127.0.0.1:{at.api.port}"):
            for host in ("x:99999", "x:y", "[::1", "a b", "http://evil.test/", "", "//evil.test"):
                for path in ("/", "/login", "/nothing", "/api/hosts", "/api/nothing"):
                    answer = await at.client.get(f"{url}{path}", headers={"Host": host})
                    assert answer.status_code != 500, (url, path, host)
                    assert set(HEADERS) <= set(answer.headers), (url, path, host)
                    assert "evil.test" not in answer.headers.get("location", "")
        large = await at.client.post("/login", content=b"secret=" + b"x" * 200_000, headers={"Origin": at.url})
        assert large.status_code == 413
        assert set(HEADERS) <= set(large.headers)
        large = await at.client.post("/api/session", content=b"x" * 2_000_000)
        assert large.status_code == 413
        for back in ("//evil.test", "https://evil.test", "/\\evil.test", "/%0d%0aSet-Cookie:x", "javascript:alert(1)"):
            answer = await at.client.post("/login", data={"secret": TOKEN, "back": back}, headers={"Origin": at.url})
            assert (answer.status_code, answer.headers["location"]) in (
                (303, "/"),
                (303, "/%0d%0aSet-Cookie:x"),
            ), back


async def test_pages_and_api_speak_tls_by_certificate_files(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    context = ssl.create_default_context(cafile=certificate)
    async with site(
        context,
        NETALLY_WEB_TLS_CERTIFICATE=certificate,
        NETALLY_WEB_TLS_KEY=key,
    ) as at:
        opened = await log_in(at)
        cookie = opened.headers["set-cookie"]
        assert opened.status_code == 303
        for attribute in ("Secure", "HttpOnly", "SameSite=lax"):
            assert attribute in cookie
        answer = await at.client.get("/api/session")
        assert (answer.json()["actor"], answer.headers["strict-transport-security"]) == ("admin", "max-age=31536000")
        with pytest.raises(httpx.HTTPError):
            async with httpx.AsyncClient(trust_env=False) as plain:
                await plain.get(at.url.replace("https", "http"))
    port = free_port()
    environment = {
        **os.environ,
        "NETALLY_API_PORT": str(port),
        "NETALLY_ADMIN_TOKEN": TOKEN,
        "NETALLY_API_TLS_CERTIFICATE": certificate,
        "NETALLY_API_TLS_KEY": key,
    }
    process = subprocess.Popen(  # noqa: ASYNC220  (returns at once)
        [sys.executable, "-m", "netally.api"], env=environment, preexec_fn=die_with_parent
    )
    web_port = free_port()
    web = subprocess.Popen(  # noqa: ASYNC220  (returns at once)
        [sys.executable, "-m", "netally.web"],
        env={
            **os.environ,
            "NETALLY_WEB_PORT": str(web_port),
            "NETALLY_API_URL": f"https://127.0.0.1:{port}",
            "NETALLY_API_CA": certificate,
        },
        preexec_fn=die_with_parent,
    )
    try:
        async with httpx.AsyncClient(trust_env=False, headers=bearer(TOKEN)) as client:

            async def through_the_pages() -> bool:
                answer = await client.get(f"http://127.0.0.1:{web_port}/api/session")
                return answer.status_code == 200

            await eventually(through_the_pages, within=30)
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "netally.cli", "token", "list"],
            env={**environment, "NETALLY_API_URL": f"https://127.0.0.1:{port}", "NETALLY_API_CA": certificate},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # The API was reached, by TLS; a database is not there.
        assert "No figures yet" in done.stderr, done.stderr
    finally:
        for one in (process, web):
            one.kill()
            one.wait()


async def test_a_certificate_that_is_none_is_said_in_plain_words(tmp_path: Path) -> None:
    for service in ("web", "api"):
        name = f"NETALLY_{service.upper()}_TLS_CERTIFICATE"
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", f"netally.{service}"],
            env={**os.environ, name: str(tmp_path / "none")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, name in done.stderr, "Traceback" in done.stderr) == (1, True, False)
