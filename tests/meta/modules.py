"""Which files the meta tests look at. As a script it prints how long the shipped modules are."""

from __future__ import annotations

import ast
import fnmatch
import functools
import os
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SKIPPED = {"build", "dist", "__pycache__"}


@functools.cache
def tree() -> tuple[Path, ...]:
    """The project's own files; what tools keep in hidden or built folders is left out."""
    found: list[Path] = []
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name == ".ci" or not skipped(name)]
        found.extend(Path(folder, name) for name in names)
    return tuple(sorted(found))


def skipped(folder: str) -> bool:
    return folder in SKIPPED or folder.startswith(".")


def files(*patterns: str) -> list[Path]:
    """The project's files whose names match, sorted. A `*` stands for any text, slashes too."""
    return [
        path
        for path in tree()
        if any(fnmatch.fnmatchcase(name_of(path), pattern) for pattern in patterns)
    ]


def name_of(path: Path) -> str:
    """The path as a reader would write it."""
    return path.relative_to(ROOT).as_posix()


def sizes(*patterns: str) -> dict[str, int]:
    """Lines of each Python file that matches, by name."""
    return {
        name_of(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in files(*patterns)
    }


def code_lines(path: Path) -> int:
    """Lines that hold code: neither blank nor a comment, and no part of a docstring."""
    text = path.read_text(encoding="utf-8")
    said = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return sum(
        1
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.strip().startswith("#") and number not in said
    )


def summary() -> str:
    """One line on the sizes of the modules that ship, empty ones aside."""
    shipped = sorted(size for size in sizes("src/*.py", "plugins/*/src/*.py").values() if size)
    middle = statistics.median(shipped)
    return f"{len(shipped)} modules ship: median {middle:.0f} lines, longest {shipped[-1]}"


if __name__ == "__main__":
    sys.stdout.write(f"{summary()}\n")
