"""Branches and helpers of random duration, killed at random: each gets its own results (EC-15)."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import lines
from tests.crash.chain import Chain
from tests.crash.killing import Moment, Nursery, nursery
from tests.crash.lines import LINES

KILLS = 12
CHAINS = 12
SECONDS = 0.06
LINES_OF_A_LIFE = 25


@pytest.fixture(scope="module")
def lives() -> Iterator[Nursery]:
    with nursery(7, Path(lines.__file__)) as serving:
        yield serving


@pytest.mark.parametrize("number", range(CHAINS))
def test_ec_15_each_gets_its_own_results(number: int, lives: Nursery, tmp_path: Path) -> None:
    rng = random.Random(f"branches {number}")
    chain = Chain(tmp_path)
    killed = 0
    for _ in range(KILLS):
        moment = (
            Moment(seconds=rng.uniform(0, SECONDS))
            if killed and rng.random() < 1 / 2
            else Moment(lines=rng.randint(0, LINES_OF_A_LIFE))
        )
        ending = lives.live(tmp_path, {"the one": None}, moment)
        chain.check(ending)
        if not ending.killed:
            break
        killed += 1
    ending = lives.live(tmp_path, {"the one": None}, Moment())
    chain.check(ending)
    assert chain.broken == []
    assert killed, "a chain without a kill proves nothing"
    ((result,),) = [["".join(words)] for words in ending.said("result")]
    values = list(itertools.chain(*json.loads(result)))
    assert [value.partition("#")[0] for value in values] == LINES
    assert all(chain.values.get(value.partition("#")[0], value) == value for value in values)
