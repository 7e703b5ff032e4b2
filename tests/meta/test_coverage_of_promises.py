"""Every invariant of the specification and every edge case of this release has its test."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from tests.meta.modules import ROOT, files, name_of

INVARIANTS = [f"INV-{number}" for number in range(1, 22)]
NOT_BUILT_YET: set[str] = set()
EDGE_CASES = [
    *(f"{number:02}" for number in range(1, 40)),
    *("18b", "24b", "32b", "32c", "40", "41"),
]
SECTION = re.compile(r"^## (INV-\d+) +(\S.*)$", re.MULTILINE)
SHOWN_BY = re.compile(r"^Shown by: (.+?)(?:\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)
TEST_FILE = re.compile(r"[\w./-]+\.py")
NAMED_TEST = re.compile(r"`(test_\w+)`")
CASE = re.compile(r"ec_(\d\d[a-z]?)(?=_|$)")


def sections() -> dict[str, str]:
    """The text below each invariant's heading, by its number, in the order of the document."""
    text = (ROOT / "spec" / "invariants.md").read_text(encoding="utf-8")
    parts = SECTION.split(text)[1:]
    return dict(zip(parts[::3], parts[2::3], strict=True))


@functools.cache
def cases_in(path: Path) -> list[str]:
    """The names of the test functions in a file, those in classes included."""
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return [node.name for node in functions if node.name.startswith("test_")]


def test_specification_has_every_invariant_once() -> None:
    assert list(sections()) == INVARIANTS


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_invariant_names_its_tests(invariant: str) -> None:
    text = sections()[invariant]
    shown_by = SHOWN_BY.search(text)
    if invariant in NOT_BUILT_YET:
        assert "Not built yet" in text
        assert shown_by is None
        return
    assert shown_by is not None, f"{invariant} has no line `Shown by: tests/invariants/…`"
    named = TEST_FILE.findall(shown_by[1])
    own = f"tests/invariants/test_inv_{int(invariant.removeprefix('INV-')):02}_"
    assert any(name.startswith(own) for name in named), f"{invariant} needs a file {own}….py"
    assert [name for name in named if not (ROOT / name).is_file()] == []
    assert [name for name in named if not cases_in(ROOT / name)] == []


def test_concurrency_document_names_tests_that_there_are() -> None:
    text = (ROOT / "spec" / "concurrency.md").read_text(encoding="utf-8")
    named = set(NAMED_TEST.findall(text))
    there_are = {name for path in files("tests/*/test_*.py") for name in cases_in(path)}
    assert named
    assert named - there_are == set()


def test_every_file_of_an_invariant_is_named() -> None:
    named = set(TEST_FILE.findall("".join(sections().values())))
    assert {name_of(path) for path in files("tests/invariants/test_*.py")} - named == set()


@pytest.mark.parametrize("case", EDGE_CASES)
def test_edge_case_has_a_test(case: str) -> None:
    assert case in covered_cases(), f"no test is named test_…ec_{case}_…"


@functools.cache
def covered_cases() -> frozenset[str]:
    """The edge cases that the names of the tests mention."""
    tests = files(
        *("tests/*/test_*.py", "plugins/*/tests/*test_*.py"),
        "src/durable_core/conformance/*.py",  # every backend runs these: see test_conformance.py
    )
    return frozenset(
        case for path in tests for name in cases_in(path) for case in CASE.findall(name)
    )
