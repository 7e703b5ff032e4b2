"""Every module says what it owns, and none grows past the wall."""

from __future__ import annotations

import ast
from pathlib import PurePosixPath

import pytest

from tests.meta.modules import ROOT, files, name_of, sizes

WALL = 400
EXEMPT = {"migrations", "golden"}


def test_no_module_is_over_the_wall() -> None:
    checked = {
        name: size
        for name, size in sizes("*.py").items()
        if not EXEMPT & set(PurePosixPath(name).parts)
    }
    assert "src/durable_core/errors.py" in checked
    over = {name: size for name, size in checked.items() if size > WALL}
    assert over == {}, "split these by job, not by size"


@pytest.mark.parametrize("name", [name_of(path) for path in files("*.py")])
def test_module_has_a_docstring(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{name} does not say what it owns"


@pytest.mark.parametrize(
    "name",
    [name_of(path) for path in files("src/*/__init__.py", "plugins/*/src/*/__init__.py")],
)
def test_package_only_exports(name: str) -> None:
    """An `__init__.py` re-exports: imports, `__all__`, `__version__`, a docstring, nothing else."""
    body = ast.parse((ROOT / name).read_text(encoding="utf-8")).body
    other = [node for node in body if not isinstance(node, ast.ImportFrom | ast.Import)]
    for node in other:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        assert docstring or targets(node) <= {"__all__", "__version__"}, f"line {node.lineno}"


def targets(node: ast.stmt) -> set[str]:
    match node:
        case ast.Assign(targets=names):
            return {ast.unparse(name) for name in names}
        case ast.AnnAssign(target=name):
            return {ast.unparse(name)}
        case _:
            return {type(node).__name__}
