"""Every hook is documented, is asked when a registry is composed, and has a test of its own."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from durable_core.composition import _HOOKS
from durable_core.hookspecs import PROJECT, PluginSpecs
from tests.meta.modules import files

SPEC_MARK = f"{PROJECT}_spec"
HOOKS = sorted(name for name, value in vars(PluginSpecs).items() if hasattr(value, SPEC_MARK))


def test_every_hook_begins_with_the_name_of_the_project() -> None:
    public = {name for name in vars(PluginSpecs) if not name.startswith("_")}
    assert sorted(public) == HOOKS, "a method without @hookspec is no hook"
    assert [name for name in HOOKS if not name.startswith("durable_")] == []


def test_composition_asks_exactly_the_hooks_that_are_specified() -> None:
    assert sorted(_HOOKS.values()) == HOOKS


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_says_when_it_fires_how_often_and_what_it_returns(hook: str) -> None:
    text = inspect.getdoc(getattr(PluginSpecs, hook)) or ""
    assert re.search(r"\bFires once when\b", text)
    assert re.search(r"\bReturn one\s+`Provided` for each\b", text)
    assert re.search(r"\b[Tt]he\s+setting\s+`\w+`", text), "which setting selects what it offers?"
    assert re.search(r"\b[Ff]actory\b", text), "what may its factory do?"


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_has_a_test_that_is_named_for_it(hook: str) -> None:
    tests = files("tests/unit/test_*.py", "tests/invariants/test_*.py")
    names = [
        node.name
        for path in tests
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [name for name in names if name.startswith(f"test_hook_{hook}_")]
