"""Rules of the tree that people rely on when they look for something."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TESTED_ELSEWHERE = {
    # Composition roots: what they put together is tested as running processes.
    "aggregator/app.py": "tests/integration",
    "aggregator/command_service.py": "tests/integration",
    "api/app.py": "tests/integration",
    "capture/app.py": "tests/integration",
    "web/app.py": "tests/integration",
    # Nothing but their dealings with real servers.
    "aggregator/deadletters.py": "tests/integration",
    "aggregator/pull.py": "tests/integration",
    "aggregator/writer.py": "tests/integration",
}
"""Modules with code and without a unit test file of their own, and the folder where they are tested."""

DUMPING_GROUND = re.compile(r"(^|/)(utils?|helpers?|common|misc|managers?)(/|\.\w+$)", re.IGNORECASE)
SQL = re.compile(r"\b(select\s.+\sfrom|insert\s+into|update\s+\w+\s+set|delete\s+from)\s", re.IGNORECASE | re.DOTALL)
# Classes of one letter, so that this file does not hold what it looks for.
REGISTRY_HOSTS = re.compile(r"py[p]i\.org|python[h]osted|npm[j]s\.org|deb\.[d]ebian")


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def source_modules() -> Iterator[tuple[str, Path]]:
    """(``member/path.py``, file) of every module of every member."""
    for package in sorted(ROOT.glob("*/*/src/netally/*")):
        for path in sorted(package.rglob("*.py")):
            yield f"{package.name}/{path.relative_to(package).as_posix()}", path


def has_logic(path: Path) -> bool:
    """Whether a module has a function that does more than return a constant or an attribute."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "__repr__":
            body = [each for each in node.body if not _is_docstring(each)]
            trivial = len(body) == 1 and isinstance(body[0], ast.Return | ast.Pass) and not _calls(body[0])
            if not trivial:
                return True
    return False


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _calls(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Call) for each in ast.walk(node))


def test_every_module_with_logic_has_its_test_file() -> None:
    missing = []
    for name, path in source_modules():
        if path.name.startswith("__") or name in TESTED_ELSEWHERE or not has_logic(path):
            continue
        member, _, rest = name.partition("/")
        wanted = ROOT / "tests" / "unit" / member / Path(rest).with_name(f"test_{Path(rest).name}")
        if not wanted.is_file():
            missing.append(f"{path.relative_to(ROOT)} MUST have a test file {wanted.relative_to(ROOT)}")
    assert not missing, "\n".join(missing)


def test_every_unit_test_file_has_its_module() -> None:
    """``test_x.py`` or ``test_x_some_aspect.py`` for module ``x``."""
    modules = {name.removesuffix(".py") for name, _ in source_modules()}
    orphans = []
    for path in sorted((ROOT / "tests" / "unit").glob("*/**/test_*.py")):
        name = path.relative_to(ROOT / "tests" / "unit").with_suffix("")
        words = name.name.removeprefix("test_").split("_")
        candidates = {name.with_name("_".join(words[:end])).as_posix() for end in range(1, len(words) + 1)}
        if not candidates & modules:
            orphans.append(str(path.relative_to(ROOT)))
    assert not orphans, f"tests of modules that are not there: {orphans}"


def test_exceptions_are_still_needed() -> None:
    modules = dict(source_modules())
    for name, folder in TESTED_ELSEWHERE.items():
        assert name in modules, f"{name} is gone; take it off the list"
        assert (ROOT / folder).is_dir()


def _string_literals(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)


def test_sql_is_in_the_store_only() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {literal[:60]!r}"
        for name, path in source_modules()
        if not name.startswith("store/")
        for literal in _string_literals(path)
        if SQL.search(literal)
    ]
    # The agent's spool is a SQLite file of its own, not the database.
    found = [each for each in found if "/capture/spool.py" not in each]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "is_sql"),
    [
        ("SELECT a FROM flow WHERE b", True),
        ("select *\nfrom flow ", True),
        ("INSERT INTO flow (a) VALUES", True),
        ("UPDATE host SET name = 1", True),
        ("DELETE FROM flow WHERE", True),
        ("select an interface from the list", True),  # wordings like this are to be avoided
        ("Update the settings", False),
        ("no selection", False),
    ],
)
def test_the_rule_knows_sql(text: str, *, is_sql: bool) -> None:
    assert bool(SQL.search(text)) is is_sql


def test_no_file_names_a_registry_host() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        if match := REGISTRY_HOSTS.search(text):
            found.append(f"{path.relative_to(ROOT)}: {match.group(0)}")
    assert not found, "\n".join(found)


def test_no_dumping_grounds() -> None:
    found = [name for path in tracked() if DUMPING_GROUND.search(name := path.relative_to(ROOT).as_posix())]
    assert not found, f"name each for the noun it is about: {found}"


def make_targets() -> dict[str, str]:
    """Target: what `make help` says of it (empty when it says nothing)."""
    text = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z-]+):(?!=)[^#\n]*(?:## (.*))?$", text, re.MULTILINE)
    return dict(targets)


def test_every_make_target_is_in_make_help() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target, words in make_targets().items():
        assert words, f"{target} needs a `##` line"
        assert f"  {target} " in shown


def test_every_documented_make_target_exists() -> None:
    targets = make_targets()
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / ".ci" / "run"]
    for path in documents:
        text = path.read_text("utf-8")
        fenced = "\n".join(re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL))
        spoken = re.findall(r"(?:`|exec )make ([a-z-]+)", text)
        for target in [*spoken, *re.findall(r"^make ([a-z-]+)", fenced, re.MULTILINE)]:
            assert target in targets, f"{path.relative_to(ROOT)} speaks of `make {target}`"


def test_every_document_that_is_linked_exists() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
            if "://" not in link:
                assert (path.parent / link).exists(), f"{path.relative_to(ROOT)} links to {link}"


def test_variables_in_the_documents_are_read_somewhere() -> None:
    code = "\n".join(path.read_text("utf-8") for _, path in source_modules())
    code += "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
    code += (ROOT / "Makefile").read_text("utf-8")
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for variable in set(re.findall(r"NETALLY_[A-Z_]+[A-Z]", path.read_text("utf-8"))):
            field = variable.removeprefix("NETALLY_").lower()
            known = variable in code or re.search(rf"^    {field}: ", code, re.MULTILINE)
            assert known, f"{path.relative_to(ROOT)} speaks of {variable}, which nothing reads"
