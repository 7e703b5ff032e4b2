"""Executions that continue each other, killed at random and at every point on the way."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import turns
from tests.crash.evidence import look
from tests.crash.killing import Ending, Moment, Nursery, nursery
from tests.crash.matrix import ON_CONTINUING
from tests.crash.turns import KEY, SENT, SIGNALS

KILLS = 12
CHAINS = 6
SECONDS = 0.25
LINES_OF_A_LIFE = 25
POINTS = (
    *ON_CONTINUING,
    "backend.commit.after",
    "backend.commit.inside",
    "backend.finalize.inside",
)

pytestmark = pytest.mark.dialects


@pytest.fixture(scope="module")
def lives() -> Iterator[Nursery]:
    with nursery(11, Path(turns.__file__)) as serving:
        yield serving


def check(folder: Path, url: str, ending: Ending) -> None:
    """What must hold after every life: one turn runs, and none was taken twice."""
    if not ending.killed:
        log = (folder / "log").read_text(errors="replace")[-3000:]
        assert (ending.status, ending.hung) == (0, False), log
    found = look(folder, url)
    statuses = Counter(execution.status for execution in found.executions.values())
    assert set(statuses) <= {"running", "completed"}
    assert statuses["running"] <= 1
    assert not statuses or statuses["running"] == ending.killed or statuses["completed"]
    assert max(found.calls.values(), default=1) == 1
    numbers = sorted(effect.number for effect in found.effects)
    assert numbers == list(range(len(numbers))), "no turn is left out, and none comes twice"
    assert len(found.executions) - 1 <= len(numbers) <= max(1, len(found.executions))


def check_the_end(folder: Path, url: str, ending: Ending) -> None:
    """Every signal that was surely filed was received once, in order."""
    ((result,),) = [["".join(words)] for words in ending.said("result")]
    received = json.loads(result)
    filed = [line.split(" ") for line in (folder / SENT).read_text().splitlines()]
    assert received == sorted(set(received))
    assert {int(number) for word, number in filed if word == "filed"} <= set(received)
    assert set(received) <= set(range(SIGNALS))
    found = look(folder, url)
    assert {execution.status for execution in found.executions.values()} == {"completed"}
    assert {execution.key for execution in found.executions.values()} == {KEY}
    assert len(found.effects) == len(found.executions)


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(each, marks=pytest.mark.files) for each in range(1, CHAINS))]
)
def test_inv_13_each_turn_is_taken_once_whenever_it_is_killed(
    number: int, lives: Nursery, tmp_path: Path, url: str
) -> None:
    rng = random.Random(f"turns {number}")
    killed = 0
    for life in range(KILLS):
        moment = rng.choice(
            [
                Moment(seconds=rng.uniform(0, SECONDS)),
                Moment(lines=rng.randint(1, LINES_OF_A_LIFE)),
                Moment(failpoint=f"{rng.choice(POINTS)}:{rng.randint(1, 6)}"),
            ]
        )
        if life == 0:
            moment = Moment(lines=rng.randint(1, SIGNALS // 2))
        ending = lives.live(tmp_path, {"url": url}, moment)
        check(tmp_path, url, ending)
        if not ending.killed:
            break
        killed += 1
    ending = lives.live(tmp_path, {"url": url}, Moment())
    check(tmp_path, url, ending)
    assert killed, "a chain without a kill proves nothing"
    check_the_end(tmp_path, url, ending)


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_around_a_continuation_leaves_both_or_neither(
    point: str, lives: Nursery, tmp_path: Path, url: str
) -> None:
    for count in (1, 2, 3, 1):
        ending = lives.live(tmp_path, {"url": url}, Moment(failpoint=f"{point}:{count}"))
        assert ending.killed, "the point was reached"
        check(tmp_path, url, ending)
    ending = lives.live(tmp_path, {"url": url}, Moment())
    check(tmp_path, url, ending)
    check_the_end(tmp_path, url, ending)
