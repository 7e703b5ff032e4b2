"""What is held by counts on Postgres: see `tests.counts.numbers_on_postgres`."""

from __future__ import annotations

import pytest

from tests.counts.numbers_on_postgres import ON_POSTGRES
from tests.counts.postgres import on_postgres
from tests.counts.runs import RUNS

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("run", RUNS)
def test_costs_on_postgres(run: str, url: str) -> None:
    costs = on_postgres(RUNS[run], url)
    cases = {case.name: case for case in ON_POSTGRES if case.run == run}
    assert cases.keys() == costs.keys()
    broken = [line for name, case in cases.items() for line in case.broken(costs[name])]
    assert not broken, "\n".join(broken)
