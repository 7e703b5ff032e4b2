"""Every class of effects is killed at every named point, several times over (EC-21)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.crash.killing import Moment
from tests.crash.matrix import FAILPOINTS, ON_OPEN, ON_THE_WAY, Case, Matrix
from tests.crash.program import CLASSES, RAISES

ROOT = Path(__file__).parents[2]
REACHED = re.compile(r"\breach\(\s*\"([a-z_.]+)\"")

COUNTS = ((1,), (2,), (3,), (5,), (1, 1), (2, 1, 2), (4, 2))
"""For each chain: at which passing of the point each of its lives is killed."""


def plan_of(kind: str) -> list[list[str]]:
    asynchronous, plain = f"{kind}.async", f"{kind}.plain"
    return [[asynchronous], [plain], [asynchronous, plain], [f"{kind}.{RAISES}"], [asynchronous]]


@pytest.mark.parametrize("kind", CLASSES)
def test_ec_21_a_kill_at_every_failpoint_keeps_what_the_class_promises(
    kind: str, matrix: Matrix, tmp_path: Path
) -> None:
    plans = {"a": plan_of(kind), "b": plan_of(kind)}
    matrix.play(
        Case(
            tmp_path / f"{name}-{'-'.join(map(str, counts))}",
            plans,
            [Moment(failpoint=f"{name}:{count}") for count in counts],
            # What happens once for each execution may happen once for both, in one batch.
            surely=counts[0] == 1,
        )
        for name in ON_THE_WAY
        for counts in COUNTS
    )


@pytest.mark.parametrize("name", ON_OPEN)
def test_a_kill_in_the_first_open_leaves_a_journal_that_opens(
    name: str, matrix: Matrix, tmp_path: Path
) -> None:
    plans = {"a": plan_of("reconcile")}
    moments = [Moment(failpoint=name)] * 2
    matrix.play([Case(tmp_path / name, plans, moments, surely=True)])


def test_the_matrix_covers_every_failpoint_of_the_sources() -> None:
    sources = [*ROOT.glob("src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    named = {name for path in sources for name in REACHED.findall(path.read_text(encoding="utf-8"))}
    assert named == set(FAILPOINTS)
