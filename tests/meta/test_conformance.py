"""Whoever has to pass the conformance kit runs all of it, and core does without it."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.meta.modules import ROOT, files, name_of

KIT = "durable_core.conformance"
FOLDER = ROOT / "src" / "durable_core" / "conformance"
PLUGINS = {path.parent.name: path.parent for path in files("plugins/*/pyproject.toml")}
OTHERS = {
    path.parent.name: path.parent
    for path in files("examples/third-party/*/pyproject.toml")
    if path.parent.name != "rogue-backend"
}
NEEDS = {
    "durable_ciphers": {f"{KIT}.cipher.CipherConformance"},
    "durable_metrics_exporters": {f"{KIT}.metrics.ExporterConformance"},
}
"""What the author of a hook runs; the rest of the hooks have no kit."""


def backend_kit() -> set[str]:
    """Every class of the kit that a backend runs: those that tests are collected from."""
    modules = [*sorted(FOLDER.glob("backend/*.py")), FOLDER / "machine.py"]
    found = set()
    for path in modules:
        inner = path.relative_to(FOLDER).with_suffix("").parts
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and tests_of(node):
                found.add(".".join((KIT, *inner, node.name)))
    return found


def tests_of(node: ast.ClassDef) -> list[str]:
    return [
        one.name
        for one in node.body
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test_")
    ]


def required(folder: Path) -> set[str]:
    """What this distribution has to run, by its entry points and its hooks."""
    with (folder / "pyproject.toml").open("rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    groups = project.get("entry-points", {})
    needed = backend_kit() if "durable_core.backends" in groups else set()
    for path in folder.glob("src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                needed |= NEEDS.get(node.name, set())
    return needed


def run_in(folder: Path) -> set[str]:
    """The classes of the kit that a collected class of these tests inherits from."""
    found = set()
    for path in folder.rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {
            alias.asname or alias.name: f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(KIT)
            for alias in node.names
        }
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                assert not tests_of(node), f"{name_of(path)}: {node.name} overrides nothing"
                found |= {imported.get(ast.unparse(base), "") for base in node.bases}
    return found


def test_the_kit_has_its_classes() -> None:
    assert len(backend_kit()) > 15
    assert f"{KIT}.machine.StateMachineContract" in backend_kit()
    assert f"{KIT}.backend.append.AppendContract" in backend_kit()


@pytest.mark.parametrize("plugin", sorted(PLUGINS))
def test_a_plugin_runs_the_whole_kit_of_its_kind(plugin: str) -> None:
    needed = required(PLUGINS[plugin])
    assert needed - run_in(PLUGINS[plugin] / "tests" / "conformance") == set()


@pytest.mark.parametrize("plugin", sorted(PLUGINS))
def test_its_conftest_lets_failed_asserts_show_their_values(plugin: str) -> None:
    folder = PLUGINS[plugin] / "tests" / "conformance"
    assert folder.is_dir() == bool(required(PLUGINS[plugin]))
    for conftest in folder.glob("conftest.py"):
        text = conftest.read_text(encoding="utf-8")
        before, _, _ = text.partition(f'pytest.register_assert_rewrite("{KIT}")')
        assert before != text
        assert "import durable_core" not in before
        assert "from durable_core" not in before


@pytest.mark.parametrize("example", sorted(OTHERS))
def test_an_example_of_another_author_runs_the_kit_of_its_kind(example: str) -> None:
    needed = required(OTHERS[example])
    assert needed
    assert needed - run_in(OTHERS[example] / "tests") == set()


def test_core_imports_without_what_the_kit_needs() -> None:
    """Every module but the kit's, in a process that can import neither pytest nor hypothesis."""
    modules = [
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for path in files("src/durable_core/*.py")
        if FOLDER not in path.parents and path.stem != "__init__"
    ]
    assert "durable_core.engine.engine" in modules
    program = f"""
import importlib, sys

class Refuse:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {{"pytest", "_pytest", "pytest_asyncio", "hypothesis"}}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
for name in {modules!r}:
    importlib.import_module(name)
print([name for name in sys.modules if name.startswith({KIT!r})])
"""
    child = subprocess.run(
        (sys.executable, "-c", program), check=False, capture_output=True, text=True
    )
    assert (child.stdout, child.stderr) == ("[]\n", "")
