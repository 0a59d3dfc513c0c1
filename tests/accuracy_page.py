"""docs/accuracy.md: one section for each run that writes into it, the others left as they are."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "accuracy.md"
TITLE = "# Accuracy\n"


def write_section(name: str, text: str, page: Path = PAGE) -> None:
    """Replace the section of this name, or append it."""
    begin, end = f"<!-- {name}: written by a run -->", f"<!-- {name}: end -->"
    section = f"{begin}\n\n{text.strip()}\n\n{end}\n"
    old = page.read_text("utf-8") if page.exists() else TITLE
    if begin in old:
        head, _, rest = old.partition(begin)
        _, _, tail = rest.partition(f"{end}\n")
        page.write_text(f"{head}{section}{tail}", "utf-8")
    else:
        page.write_text(f"{old.rstrip()}\n\n{section}", "utf-8")
