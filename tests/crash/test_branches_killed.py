"""Branches and helpers of random duration, killed at random: each gets its own results (EC-15)."""

from __future__ import annotations

import itertools
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, field

from tests.crash import lines
from tests.crash.evidence import CLOSING, look
from tests.crash.killing import Ending, Moment, Nursery, nursery
from tests.crash.lines import CALLS, LINES

KILLS = 12
CHAINS = 12
SECONDS = 0.06
LINES_OF_A_LIFE = 25


@pytest.fixture(scope="module")
def lives() -> Iterator[Nursery]:
    with nursery(7, Path(lines.__file__)) as serving:
        yield serving


@define
class Chain:
    """One execution over all its lives."""

    folder: Path
    closed: set[str] = field(factory=set)
    """The steps, by their ids, that the journal held as closed when the last life began."""

    taken: int = 0
    """How many calls there had been then."""

    values: dict[str, str] = field(factory=dict)
    """What has come back of a step that was closed before."""

    broken: list[str] = field(factory=list)

    def check(self, ending: Ending) -> None:
        """What one life may have done, given what the journal held before it."""
        calls = self.calls()
        ids: dict[str, set[str]] = defaultdict(set)
        made: dict[str, set[str]] = defaultdict(set)
        for step_id, line, value in calls:
            ids[line].add(step_id)
            made[line].add(value)
        self.broken += [f"{line} has the ids {ids[line]}" for line in ids if len(ids[line]) > 1]
        self.broken += [
            f"{line} was called although it was closed"
            for step_id, line, _ in calls[self.taken :]
            if step_id in self.closed
        ]
        for line, value in ending.said("saw"):
            if value not in made[line]:
                self.broken.append(f"{line} got {value}")
            if ids[line] <= self.closed and self.values.setdefault(line, value) != value:
                self.broken.append(f"{line} got {value} after {self.values[line]}")
        if not ending.killed and (ending.hung or ending.status):
            log = (self.folder / "log").read_text(errors="replace")[-3000:]
            self.broken.append(f"ended with {ending.status}\n{log}")
        self.taken = len(calls)
        for execution in look(self.folder).executions.values():
            self.closed = {step for _, step, kind, _ in execution.entries if kind in CLOSING}

    def calls(self) -> list[list[str]]:
        """Step id, line and value of each call of a function, in all lives."""
        file = self.folder / CALLS
        return [line.split(" ") for line in file.read_text().splitlines()] if file.exists() else []


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
