"""What is held by counts on SQLite: see `tests.counts.numbers`, where the numbers stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.counts.numbers import ON_SQLITE
from tests.counts.runs import RUNS
from tests.counts.sqlite import on_sqlite


@pytest.mark.parametrize("run", RUNS)
def test_costs_on_sqlite(run: str, tmp_path: Path) -> None:
    costs = on_sqlite(RUNS[run], tmp_path / "journal.db")
    cases = {case.name: case for case in ON_SQLITE if case.run == run}
    assert cases.keys() == costs.keys()
    broken = [line for name, case in cases.items() for line in case.broken(costs[name])]
    assert not broken, "\n".join(broken)
