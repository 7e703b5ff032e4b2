"""Kills around a fold: what was journaled comes back, and the chain goes on (EC-38)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from durable_core.model.entries import EntryKind
from tests.crash import folds
from tests.crash.evidence import look
from tests.crash.folds import CALLS, GUARDED, STEPS
from tests.crash.killing import Ending, Moment, Nursery, nursery
from tests.crash.matrix import IN_A_FOLD

CHAINS = 8
KILLS = 8
LINES_OF_A_LIFE = STEPS + 5
COUNTS = ((1,), (2, 1, 2))
MORE_COUNTS = ((2,), (4,), (1, 1))
"""On the faster database alone."""

pytestmark = pytest.mark.dialects


@pytest.fixture(scope="module")
def lives() -> Iterator[Nursery]:
    with nursery(11, Path(folds.__file__)) as serving:
        yield serving


def calls(folder: Path) -> list[str]:
    """What the functions returned, in all lives."""
    file = folder / CALLS
    return file.read_text().splitlines() if file.exists() else []


def entries(folder: Path, url: str) -> list[tuple[int, EntryKind]]:
    """The stored entries of the one execution."""
    return [
        (number, kind)
        for execution in look(folder, url).executions.values()
        for number, _, kind, _ in execution.entries
    ]


def play(lives: Nursery, folder: Path, url: str, moments: Sequence[Moment]) -> int:
    """A life for each moment, and one to the end; how many were killed."""
    killed = 0
    told: list[str] = []
    ending: Ending | None = None
    for moment in (*moments, Moment()):
        ending = lives.live(folder, {"url": url}, moment)
        killed += ending.killed
        require_sound(folder, url, ending)
        for words in ending.said("folded"):
            both = min(len(words), len(told))
            assert words[:both] == told[:both], "what was folded comes back as it was"
            told = max(told, words, key=len)
        if not ending.killed:
            break
    assert ending is not None
    ((result,),) = [["".join(words)] for words in ending.said("result")]
    values = json.loads(result)
    assert [value.partition("#")[0] for value in values] == [str(one) for one in range(STEPS)]
    assert values[: len(told)] == told
    assert set(values) <= set(calls(folder))
    stored = entries(folder, url)
    kinds = [kind for _, kind in stored]
    assert kinds.count(EntryKind.EFFECT_INTENT) == -(-STEPS // GUARDED), "none of them is folded"
    assert kinds.count(EntryKind.CHECKPOINT) > 1
    assert len(kinds) < STEPS
    return killed


def require_sound(folder: Path, url: str, ending: Ending) -> None:
    """It ended or was killed, and numbers are missing only in front of a checkpoint."""
    if not ending.killed and (ending.hung or ending.status):
        log = (folder / "log").read_text(errors="replace")[-3000:]
        pytest.fail(f"ended with {ending.status}\n{log}")
    before = 0
    for number, kind in entries(folder, url):
        assert number == before + 1 or (kind == EntryKind.CHECKPOINT and number > before)
        before = number


@pytest.mark.parametrize("name", IN_A_FOLD)
@pytest.mark.parametrize(
    "counts",
    [*COUNTS, *(pytest.param(counts, marks=pytest.mark.files) for counts in MORE_COUNTS)],
    ids=lambda counts: "-".join(map(str, counts)),
)
def test_ec_38_a_kill_at_a_failpoint_of_the_fold(
    name: str, counts: Sequence[int], lives: Nursery, tmp_path: Path, url: str
) -> None:
    moments = [Moment(failpoint=f"{name}:{count}") for count in counts]
    assert play(lives, tmp_path, url, moments) >= 1, "a chain without a kill proves nothing"


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(each, marks=pytest.mark.files) for each in range(1, CHAINS))]
)
def test_ec_38_a_kill_at_any_moment_of_a_long_program(
    number: int, lives: Nursery, tmp_path: Path, url: str
) -> None:
    rng = random.Random(f"folds {number}")
    moments = [
        Moment(seconds=rng.uniform(0, 0.2))
        if rng.random() < 1 / 2
        else Moment(lines=rng.randint(0, LINES_OF_A_LIFE))
        for _ in range(KILLS)
    ]
    play(lives, tmp_path, url, [Moment(lines=rng.randint(1, STEPS // 2)), *moments])
