"""Whatever the program, the durations and the kills: what was recorded comes back where it was."""

from __future__ import annotations

import asyncio
import itertools
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from durable_core.ids import ExecutionId
from durable_core.model.entries import EntryKind, JournalRow
from tests.folds import fold_stored
from tests.journals import opened, reader_of, sqlite_url
from tests.unit.engine.random_programs import KINDS, Kill, Life, Node, live

LABELS = "ab"
"""So few that equal steps stand side by side."""


def steps() -> st.SearchStrategy[Node]:
    return st.builds(Node, st.sampled_from(KINDS), st.sampled_from(LABELS))


def several(of: st.SearchStrategy[Node]) -> st.SearchStrategy[list[Node]]:
    return st.lists(of, min_size=1, max_size=3)


def lines(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """What any task may do: nothing in it needs a position."""
    return st.one_of(
        st.builds(Node, st.just("sequence"), parts=several(inner)),
        st.builds(Node, st.just("gather"), parts=several(steps())),
        st.builds(Node, st.sampled_from(("helpers", "group")), parts=several(inner)),
    )


def branches(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """What only a branch's own task may do."""
    return st.one_of(
        st.builds(Node, st.just("sequence"), parts=several(inner)),
        st.builds(Node, st.sampled_from(("parallel", "race")), parts=several(inner)),
        st.builds(Node, st.just("beside"), parts=st.tuples(helping, inner)),
        helping,
    )


helping = st.recursive(steps(), lines, max_leaves=8)
programs = st.recursive(helping, branches, max_leaves=5).filter(lambda node: node.count <= 20)
kills = st.builds(Kill, st.integers(1, 12), st.booleans())


def without_numbers(result: Any) -> Any:
    """Labels without the calls that they came from."""
    if isinstance(result, list):
        return [without_numbers(each) for each in result]
    return re.sub(r"#.*", "", str(result))


async def live_through(
    node: Node, plan: Sequence[Kill], seed: int, folder: Path, *, folded: bool
) -> list[Life]:
    lives: list[Life] = []
    for number, kill in enumerate(plan):
        life = Life(number, Random(f"{seed} {number}"), kill, folder / f"{number + 1}.db")
        await live(node, life, folder / f"{number}.db")
        lives.append(life)
        if folded:
            life.recorded = await fold(life.copy)
    return lives


async def fold(journal: Path) -> int:
    """Fold everything that a kill has left, into small parts; how many steps that closes."""
    closed = 0

    def count(row: JournalRow) -> None:
        nonlocal closed
        closed += row.entry_kind in {EntryKind.STEP_RESULT, EntryKind.STEP_FAILED}

    async with opened(sqlite_url(journal)) as backend:
        for row in await backend.list_executions(statuses=("running",)):
            execution_id = ExecutionId(bytes=row.execution_id)
            await fold_stored(backend, execution_id, part=600)
            await (await reader_of(backend, execution_id)).each(count)
    return closed


def check(node: Node, lives: Sequence[Life]) -> None:
    before, after = lives
    assert after.replayed.items() <= before.seen.items(), "each gets its own"
    if node.races:
        return
    assert without_numbers(before.result) == without_numbers(after.result)
    assert before.recorded == len(after.replayed), "nothing that is recorded is lost"
    assert after.calls == node.count - len(after.replayed), "and none of it is called again"


@settings(max_examples=20)
@given(programs, st.tuples(kills, kills, kills), st.integers(0, 1 << 32), st.booleans())
def test_ec_15_what_was_recorded_comes_back_where_it_was(
    node: Node,
    plan: Sequence[Kill],
    seed: int,
    folded: bool,  # noqa: FBT001 - drawn
) -> None:
    """Of any two lives, the later one began as the kill of the one before had left the journal.

    Also where all of that was folded in between (EC-38).
    """
    with tempfile.TemporaryDirectory() as folder:
        lives = asyncio.run(live_through(node, plan, seed, Path(folder), folded=folded))
    for pair in itertools.pairwise(lives):
        check(node, pair)


def check_fresh(node: Node, before: Life, after: Life) -> None:
    """What a run that follows a failed one takes over, and what it calls."""
    places = node.places()
    of_helpers = Counter(each for each, helper in places.values() if helper)
    for place, value in after.replayed.items():
        each, helper = places[place]
        assert value.partition("#")[0] == each.label, "of no other content"
        if not helper or of_helpers[each] == 1:
            assert value == before.seen[place], "each gets its own"
    taken, given = Counter(after.replayed.values()), Counter(before.seen.values())
    assert taken <= given, "nothing is given twice"
    succeeded = sum(not value.startswith("!") for value in before.seen.values())
    assert taken.total() == succeeded, "every result is taken over, and no failure"
    assert after.calls == node.count - succeeded


once = programs.filter(lambda node: not node.races)
failures = st.builds(
    Kill, st.sampled_from((1, 2, 5, 1000)), st.booleans(), fails=st.just(value=True)
)


@settings(max_examples=12)
@given(once, st.tuples(failures, failures, kills), st.integers(0, 1 << 32))
def test_inv_13_no_guarded_function_runs_twice_for_one_key(
    node: Node, plan: Sequence[Kill], seed: int
) -> None:
    """Whether the run before was killed, and is replayed, or failed, and is begun afresh."""
    with tempfile.TemporaryDirectory() as folder:
        lives = asyncio.run(live_through(node, plan, seed, Path(folder), folded=False))
    committed: set[bytes] = set()
    for life in lives:
        assert len(life.fired) == len(set(life.fired))
        assert not committed.intersection(life.fired)
        committed |= life.committed
    for before, after in itertools.pairwise(lives):
        assert without_numbers(before.result) == without_numbers(after.result)
        if before.failed:
            check_fresh(node, before, after)
