"""What an application is called: rules from program, arguments and cgroup to names. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from netally.contracts.flow import MAX_NAME

_INTERPRETER: Final = re.compile(
    r"(python|pypy|perl|ruby|node|nodejs|deno|bun|php|java|lua|tclsh|sh|bash|dash|ash|zsh|fish|ksh)(\d*)[\d.]*"
)
_SHELLS: Final = frozenset(("sh", "bash", "dash", "ash", "zsh", "fish", "ksh"))
_WITH_VALUE: Final = {
    "python": frozenset(("-W", "-X", "--check-hash-based-pycs")),
    "pypy": frozenset(("-W", "-X")),
    "perl": frozenset(("-I",)),
    "ruby": frozenset(("-I", "-r")),
    "node": frozenset(("-r", "--require", "--import", "--loader")),
    "java": frozenset(("-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-opens", "--add-modules")),
}
# Options that bring the program itself.
_CODE: Final = {
    "python": frozenset(("-c",)),
    "pypy": frozenset(("-c",)),
    "perl": frozenset(("-e", "-E")),
    "ruby": frozenset(("-e",)),
    "lua": frozenset(("-e",)),
    "php": frozenset(("-r",)),
    "node": frozenset(("-e", "--eval", "-p", "--print")),
}
# Script names that say nothing: the directory they lie in says more.
_GENERIC: Final = frozenset(
    (
        "__main__.py",
        "main.py",
        "app.py",
        "manage.py",
        "server.py",
        "index.js",
        "main.js",
        "app.js",
        "server.js",
        "cli.js",
    )
)
_CONTAINER: Final = re.compile(r"(?:^|[^0-9a-f])([0-9a-f]{64})(?:$|[^0-9a-f])")
# cgroupfs: /kubepods/burstable/pod<id>/…; systemd: kubepods-burstable-pod<id with underscores>.slice/…
_POD: Final = re.compile(
    r"kubepods.*?[/-]pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?:/|$)"
)
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""C0, C1 and DEL; line and paragraph separators; what turns the direction of writing, and so makes a name look like
another (Unicode, UAX 9)."""


def application_name(executable: str, arguments: Sequence[str], command: str) -> str:
    """Name of a process: the executable's, or for an interpreter ``script (interpreter)``.

    ``python3.11 -m http.server`` is ``http.server (python3)``. ``command`` (the kernel's comm) is the last resort.
    """
    program = PurePosixPath(executable.removesuffix(" (deleted)")).name or command
    interpreter = _INTERPRETER.fullmatch(program)
    if interpreter is None:
        return cut_name(program)
    family, short = interpreter.group(1), interpreter.group(1) + interpreter.group(2)
    script = _script(family, arguments[1:])
    return cut_name(f"{script} ({short})" if script else short)


def _script(family: str, arguments: Sequence[str]) -> str:
    family = "node" if family == "nodejs" else family
    with_value, code = _WITH_VALUE.get(family, frozenset()), _CODE.get(family, frozenset())
    skip = False
    for number, argument in enumerate(arguments):
        following = arguments[number + 1] if number + 1 < len(arguments) else ""
        if skip:
            skip = False
        elif family in ("python", "pypy") and argument == "-m":
            return following
        elif family == "java" and argument == "-jar":
            return PurePosixPath(following).name.removesuffix(".jar")
        elif argument in with_value:
            skip = True
        elif argument in code or (family in _SHELLS and re.fullmatch(r"-[a-z]*c[a-z]*", argument)):
            return ""
        elif argument in ("-", "--") or not argument:
            continue
        elif not argument.startswith("-"):
            return argument.rsplit(".", 1)[-1] if family == "java" else _script_name(argument)
    return ""


def _script_name(path: str) -> str:
    script = PurePosixPath(path)
    if script.name in _GENERIC and script.parent.name:
        return f"{script.parent.name}/{script.name}"
    return script.name


def unit_of(cgroup: str) -> str:
    """systemd unit of a cgroup path, empty when none names the program: sessions and run-time scopes carry numbers
    that are new at each start.
    """
    for part in reversed(cgroup.split("/")):
        if part.endswith(".service") and not part.startswith(("user@", "run-")):
            return cut_name(part)
    return ""


def pod_of(cgroup: str) -> str:
    """``pod/`` and the id of the Kubernetes pod in a cgroup path, as both cgroup drivers write it (kubelet), else
    empty.
    """
    found = _POD.search(cgroup)
    return f"pod/{found.group(1).replace('_', '-')}" if found else ""


def container_of(cgroup: str) -> str:
    """First 12 characters of the container id in a cgroup path (Docker, containerd, CRI-O, Podman), else empty."""
    found = _CONTAINER.search(cgroup)
    return found.group(1)[:12] if found else ""


def cut_name(name: str) -> str:
    """A name fit for the wire: no control characters, no broken text, at most `MAX_NAME` characters."""
    return _CONTROL.sub("?", name.encode("utf-8", "replace").decode("utf-8"))[:MAX_NAME]
