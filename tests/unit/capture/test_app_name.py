"""Application names: executables, scripts of interpreters, units and containers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netally.capture.app_name import application_name, container_of, pod_of, unit_of
from netally.contracts.flow import MAX_NAME

CONTAINER = "3f4e" + "0123456789abcdef" * 3 + "0123456789ab"


@pytest.mark.parametrize(
    ("executable", "arguments", "name"),
    [
        ("/usr/bin/curl", "curl https://example.org", "curl"),
        ("/usr/lib/firefox/firefox", "firefox", "firefox"),
        ("/usr/sbin/sshd (deleted)", "sshd: ada", "sshd"),
        ("/usr/bin/python3.11", "python3 -m http.server 8000", "http.server (python3)"),
        ("/usr/bin/python3.11", "python3 -u -W ignore tests/peers/udp_client.py host", "udp_client.py (python3)"),
        ("/usr/bin/python3.11", "/srv/venv/bin/python /srv/venv/bin/uvicorn app:app", "uvicorn (python3)"),
        ("/usr/bin/python3.11", "python3 -c print(1)", "python3"),
        ("/usr/bin/python3.11", "python3", "python3"),
        ("/usr/bin/python3.11", "python3 -S -E short.py", "short.py (python3)"),
        ("/usr/bin/perl", "perl -E say", "perl"),
        ("/usr/bin/python3.11", "python3 /srv/shop/manage.py runserver", "shop/manage.py (python3)"),
        ("/usr/bin/node", "node --require x /srv/api/server.js", "api/server.js (node)"),
        ("/usr/bin/nodejs", "nodejs worker.js", "worker.js (nodejs)"),
        ("/usr/bin/perl", "perl -I lib bin/fetch.pl", "fetch.pl (perl)"),
        ("/bin/dash", "/bin/sh -c curl x", "dash"),
        ("/bin/bash", "bash /root/backup.sh", "backup.sh (bash)"),
        ("/bin/bash", "bash -ec true", "bash"),
        ("/usr/lib/jvm/bin/java", "java -Xmx1g -cp a:b org.example.Main", "Main (java)"),
        ("/usr/lib/jvm/bin/java", "java -jar /opt/jenkins.jar --port 1", "jenkins (java)"),
        ("/usr/bin/ruby3.1", "ruby script.rb", "script.rb (ruby3)"),
    ],
)
def test_name(executable: str, arguments: str, name: str) -> None:
    assert application_name(executable, arguments.split(), "comm") == name


def test_the_kernel_s_name_is_the_last_resort() -> None:
    assert application_name("", [], "kworker/0:1") == "kworker/0:1"


@given(st.text(max_size=300), st.lists(st.text(max_size=300), max_size=6))
def test_any_program_gets_a_name_fit_for_the_wire(executable: str, arguments: list[str]) -> None:
    name = application_name(executable, arguments, "comm")
    assert len(name) <= MAX_NAME
    assert not any(ord(letter) < 32 for letter in name)
    name.encode("utf-8")


@pytest.mark.parametrize("letter", ["\n", "\x1b", "\x85", "\u2028", "\u202e", "\u2066", "\u200f"])
def test_a_name_cannot_write_over_its_neighbours_or_turn_around(letter: str) -> None:
    assert application_name(f"/opt/na{letter}me", [], "") == "na?me"


def test_file_names_that_are_no_text() -> None:
    # How os.readlink gives bytes that are no UTF-8.
    assert application_name("/opt/na\udcffme", [], "") == "na?me"


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("/system.slice/nginx.service", "nginx.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service", "syncthing.service"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-4711.scope", ""),
        ("/user.slice/user-1000.slice/session-3.scope", ""),
        ("/system.slice/run-u12.service", ""),
        ("/", ""),
    ],
)
def test_unit(cgroup: str, unit: str) -> None:
    assert unit_of(cgroup) == unit


@pytest.mark.parametrize(
    "cgroup",
    [
        f"/system.slice/docker-{CONTAINER}.scope",
        f"/docker/{CONTAINER}",
        f"/kubepods.slice/kubepods-pod1234.slice/cri-containerd-{CONTAINER}.scope",
        f"/machine.slice/libpod-{CONTAINER}.scope/container",
    ],
)
def test_container(cgroup: str) -> None:
    assert container_of(cgroup) == CONTAINER[:12]
    assert container_of(cgroup.replace(CONTAINER, CONTAINER[:40])) == ""


POD = "0c1f7d2e-4a5b-4c6d-8e9f-0123456789ab"


@pytest.mark.parametrize(
    ("cgroup", "pod"),
    [
        (f"/kubepods/burstable/pod{POD}/{CONTAINER}", f"pod/{POD}"),
        (
            f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{POD.replace('-', '_')}.slice"
            f"/cri-containerd-{CONTAINER}.scope",
            f"pod/{POD}",
        ),
        (f"/kubepods.slice/kubepods-pod{POD.replace('-', '_')}.slice/crio-{CONTAINER}.scope", f"pod/{POD}"),
        (f"/kubepods/pod{POD.replace('-', '')}/{CONTAINER}", f"pod/{POD.replace('-', '')}"),
        (f"/docker/{CONTAINER}", ""),
        ("/system.slice/podman.service", ""),
        ("/kubepods/burstable/podcast", ""),
    ],
)
def test_kubernetes_pods_are_known_by_their_cgroup(cgroup: str, pod: str) -> None:
    assert pod_of(cgroup) == pod
    assert container_of(cgroup) in ("", CONTAINER[:12])
