"""Kills at random instants, and right after whatever was acknowledged (EC-08)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.killing import Moment
from tests.crash.matrix import Budget, Case, Matrix, random_moments, random_plan

SEED = 20_240_229
GROUPS = 8
LINES_OF_A_LIFE = 40
KILLS = 20


def plans_of(rng: random.Random) -> dict[str, list[list[str]]]:
    return {key: random_plan(rng, GROUPS) for key in ("a", "b", "c")}


@pytest.mark.timeout(0)
def test_ec_08_a_kill_at_any_instant_leaves_a_contiguous_prefix(
    kills: int, matrix: Matrix, tmp_path: Path
) -> None:
    """The classes keep their promises too. There is no time limit: `--kills` says how much."""
    measured = Case(tmp_path / "measured", plans_of(random.Random(SEED)), ())
    seconds = 1.5 * matrix.seconds_of_a_life(measured)
    budget = Budget(kills)

    def chains() -> Iterator[Case]:
        for chain in itertools.count():
            if not budget:
                return
            rng = random.Random(f"{SEED}-{chain}")
            moments = random_moments(rng, budget, seconds, LINES_OF_A_LIFE)
            yield Case(tmp_path / str(chain), plans_of(rng), moments, budget=budget)

    matrix.play(chains())


def test_kills_that_never_come_in_time_are_made_up_for_by_sure_ones() -> None:
    """On a machine where no life reaches its moment, unless that is the first of its chain."""
    rng, budget = random.Random(SEED), Budget(KILLS)
    for _ in range(2 * KILLS):
        for life, moment in enumerate(random_moments(rng, budget, 1.0, LINES_OF_A_LIFE)):
            if life or moment.lines is None or budget.may_miss:
                budget.give_back()
                break
            assert moment.lines <= LINES_OF_A_LIFE // 2, "so many are said for sure"
    assert not budget


def test_ec_08_what_was_acknowledged_survives_a_kill_right_after(
    matrix: Matrix, tmp_path: Path
) -> None:
    plans = plans_of(random.Random(SEED))
    matrix.play(
        Case(tmp_path / str(lines), plans, [Moment(lines=lines)], surely=True)
        for lines in range(LINES_OF_A_LIFE)
    )
