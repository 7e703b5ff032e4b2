"""What the page on other engines says of this one is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.comparison.lives import Stage
from bench.comparison.page import BEGIN, END, Column, table, write
from bench.comparison.scenarios import SCENARIOS
from bench.comparison.sides import OURS
from tests.meta.modules import ROOT

PAGE = ROOT / "docs" / "comparison.md"
OBSERVED = {
    "changed arguments on replay": "asked for `bob`: ReplayDivergence: step 0: ",
    "branches under a plain `asyncio.gather`": "each branch got its own results",
    "branches in the documented form": "each branch got its own results",
    "`kill -9` inside a paid step": "charged once; AmbiguousEffect: ",
    "the same, the provider takes a key": "charged once; no error, result `charged alice",
    "plaintext on disk": "arguments, results, errors not found",
    "an edited row": "nothing to read in it; its last byte changed: IntegrityError: ",
    "a deleted row": "charged once; IntegrityError: ",
    "a stale second worker": "shipped once, by B; the stale A: ExecutionFenced: ",
}


def on_the_page() -> dict[str, list[str]]:
    """The rows of the table, by their first cell."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    observed, _, _ = rest.partition(END)
    lines = [line for line in observed.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {cells[0]: cells[1:] for cells in rows}


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_our_column_is_what_happens(
    scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    async with Stage.opened(OURS, tmp_path) as stage:
        observed = await SCENARIOS[scenario](stage)
    assert observed.startswith(OBSERVED[scenario])
    assert observed == on_the_page()[scenario][0]


def test_the_page_has_every_scenario_and_says_how_it_is_made() -> None:
    what, heading, *scenarios = on_the_page()
    assert [what, heading, scenarios] == ["what happens", "---", list(SCENARIOS)]
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in SCENARIOS if f"\n- **{name[0].upper()}{name[1:]}" not in text] == []


def test_a_table_replaces_what_stands_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, table(["a row"], [Column("an engine", ["what | it did"])]))
    rows = "| what happens | an engine |\n| --- | --- |\n| a row | what \\| it did |"
    assert page.read_text() == f"before\n{BEGIN}\n{rows}\n{END}\nafter\n"
