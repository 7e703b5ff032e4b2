"""The table of what was observed, and its place in a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

__all__ = ["BEGIN", "END", "Column", "table", "write"]

BEGIN: Final = "<!-- observed: begin -->"
END: Final = "<!-- observed: end -->"


@frozen
class Column:
    """One engine: its name with its version, and what was observed in each scenario."""

    heading: str
    cells: Sequence[str]


def table(scenarios: Iterable[str], columns: Sequence[Column]) -> str:
    """A Markdown table with a row for each scenario."""
    lines = [
        ("what happens", *(column.heading for column in columns)),
        ("---",) * (len(columns) + 1),
        *zip(scenarios, *(column.cells for column in columns), strict=True),
    ]
    return "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in lines)


def write(page: Path, text: str) -> None:
    """Put the text between the markers of the page, in place of what stands there."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
