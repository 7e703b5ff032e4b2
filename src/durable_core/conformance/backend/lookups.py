"""Promises and timers: written with the batch of their execution, and gone with it."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from durable_core.conformance.harness import BackendContract
from durable_core.conformance.rows import Rows, written
from durable_core.contracts import CommitBatch, ExecutionBackend, PromiseRow, TimerRow
from durable_core.errors import EntryRejected

__all__ = ["PromiseContract", "TimerContract"]

EVERY_BYTE = bytes(range(256))
TEXTS = ("", " ", "'; DROP TABLE x; --", "é e\u0301 ß \u202e 🎈", "x" * 2000)
TIMES = (0, 1, 2**31, 2**53 + 1, 2**63 - 1, -1, -(2**63))


class PromiseContract(BackendContract):
    """A promise is kept once, as it was first written."""

    async def test_promises_are_kept_with_their_batch_and_found(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        first, second = rows.promise(1, 7, created_at=2), rows.promise(1, 8, created_at=1)
        started = evolve(rows.start(1, 2), promises=(first, rows.promise(2, 9)))
        assert written(await backend.journal.append(started)) == [True, True]
        await backend.journal.append(evolve(rows.advance(2, 1), promises=(second,)))
        assert await backend.promises_of(rows.execution_id(1)) == [second, first]
        assert await backend.promises_of(rows.execution_id(2)) == [rows.promise(2, 9)]
        assert await backend.promises_of(rows.execution_id(3)) == []
        assert await backend.find_promise(first.promise_id) == first
        assert await backend.find_promise(rows.promise(1, 6).promise_id) is None
        assert await backend.strays() == []

    async def test_promises_of_one_time_are_ordered_by_their_ids(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        made = [rows.promise(1, number) for number in (2**127, 3, 2**100, 1)]
        await backend.journal.append(evolve(rows.start(1), promises=tuple(made)))
        found = await backend.promises_of(rows.execution_id(1))
        assert found == sorted(made, key=lambda promise: promise.promise_id)

    async def test_what_is_fenced_or_taken_keeps_no_promise(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, 2))
        await backend.journal.append(rows.start(3, execution_key="k"))
        stale = rows.change(1, 2, owner_epoch=9)
        start = rows.execution(4, execution_key="k")
        batch = CommitBatch(
            (start,),
            (stale, rows.change(2, 2)),
            (rows.entry(1, 2), rows.entry(2, 2), rows.entry(4, 1)),
            tuple(rows.promise(number, 10 + number) for number in (1, 2, 4)),
        )
        outcome = await backend.journal.append(batch)
        assert outcome.unmatched == {rows.execution_id(1)}
        assert outcome.taken == {rows.execution_id(4): rows.execution_id(3)}
        assert [await backend.promises_of(rows.execution_id(number)) for number in (1, 2, 4)] == [
            [],
            [rows.promise(2, 12)],
            [],
        ]

    async def test_the_first_one_stays(self, backend: ExecutionBackend, rows: Rows) -> None:
        """A batch that is sent again changes nothing, nor does another promise with the id."""
        batch = evolve(rows.advance(2, 1), promises=(rows.promise(1, 7),))
        await backend.journal.append(rows.start(1))
        await backend.journal.append(batch)
        again = await backend.journal.append(batch)
        assert again.unmatched == {rows.execution_id(1)}
        other = rows.promise(1, 7, name="other", token_hash=b"o" * 32, created_at=1)
        await backend.journal.append(evolve(rows.advance(3, 1), promises=(other, other)))
        assert await backend.promises_of(rows.execution_id(1)) == [rows.promise(1, 7)]

    async def test_the_first_outcome_stays(self, backend: ExecutionBackend, rows: Rows) -> None:
        """The mark goes to the promise that is there; nothing else of it changes."""
        made = rows.promise(1, 7)
        await backend.journal.append(evolve(rows.start(1), promises=(made, rows.promise(1, 8))))
        marked = rows.promise(1, 7, name="", token_hash=b"o" * 32, outcome=b"1" * 32, created_at=9)
        await backend.journal.append(evolve(rows.advance(2, 1), promises=(marked,)))
        resolved = made._replace(outcome=b"1" * 32)
        assert await backend.find_promise(made.promise_id) == resolved
        later = (made, marked._replace(outcome=b"2" * 32), rows.promise(1, 8, outcome=b"3" * 32))
        await backend.journal.append(evolve(rows.advance(3, 1), promises=later))
        await backend.journal.append(evolve(rows.advance(4, 1), promises=(made,)))
        other = rows.promise(1, 8, outcome=b"3" * 32)
        assert await backend.promises_of(rows.execution_id(1)) == [resolved, other]
        at_once = rows.promise(1, 9), rows.promise(1, 9, outcome=b"4" * 32)
        await backend.journal.append(evolve(rows.advance(5, 1), promises=at_once))
        assert await backend.find_promise(at_once[0].promise_id) == at_once[1]

    async def test_two_executions_may_have_one_of_the_same_id(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        """No engine makes such a pair; the oldest is found."""
        mine, theirs = rows.promise(1, 7, created_at=20), rows.promise(2, 7, created_at=10)
        await backend.journal.append(evolve(rows.start(1, 2), promises=(mine, theirs)))
        assert await backend.find_promise(mine.promise_id) == theirs
        assert await backend.promises_of(rows.execution_id(1)) == [mine]

    @pytest.mark.parametrize(
        "change",
        [
            {"promise_id": b"p" * 15},
            {"token_hash": b"t" * 31},
            {"outcome": b"o"},
            {"name": "\ud800"},
        ],
        ids=str,
    )
    async def test_what_no_row_can_hold_refuses_its_batch(
        self, backend: ExecutionBackend, rows: Rows, change: dict[str, Any]
    ) -> None:
        bad = rows.promise(1, 7, **change)
        with pytest.raises(EntryRejected):
            await backend.journal.append(evolve(rows.start(1), promises=(bad,)))
        assert await backend.load(rows.execution_id(1)) is None
        await backend.journal.append(evolve(rows.start(1), promises=(rows.promise(1, 7),)))

    async def test_every_column_comes_back(self, backend: ExecutionBackend, rows: Rows) -> None:
        variants: list[dict[str, Any]] = [
            *({"name": text} for text in TEXTS),
            *({"created_at": time} for time in TIMES),
            *({"token_hash": EVERY_BYTE[at : at + 32]} for at in range(0, 256, 32)),
            *({"outcome": EVERY_BYTE[at : at + 32]} for at in range(0, 256, 32)),
            *({"promise_id": EVERY_BYTE[at : at + 16]} for at in range(0, 256, 16)),
        ]
        made = [rows.promise(1, number, **new) for number, new in enumerate(variants, start=1000)]
        await backend.journal.append(evolve(rows.start(1), promises=tuple(made)))
        found = await backend.promises_of(rows.execution_id(1))
        assert found == sorted(made, key=lambda row: (row.created_at, row.promise_id))
        assert {type(row) for row in found} == {PromiseRow}
        for row in made:
            assert await backend.find_promise(row.promise_id) == row


class TimerContract(BackendContract):
    """A timer is there from the batch that arms it to the one that disarms it."""

    async def test_timers_are_armed_moved_and_disarmed_with_their_batch(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        one = rows.execution_id(1)
        armed = (rows.timer(1, "0", 30), rows.timer(1, "1", 10), rows.timer(2, "0", 5))
        await backend.journal.append(evolve(rows.start(1, 2), timers=armed))
        assert await backend.timers_of(one) == [armed[1], armed[0]]
        moved = rows.timer(1, "0", 5)
        await backend.journal.append(evolve(rows.advance(2, 1), timers=(moved,)))
        assert await backend.timers_of(one) == [moved, armed[1]]
        await backend.journal.append(evolve(rows.advance(3, 1), disarmed=((one, "0"),)))
        assert await backend.timers_of(one) == [armed[1]]
        assert await backend.timers_of(rows.execution_id(2)) == [armed[2]]
        assert await backend.strays() == []

    async def test_what_was_never_armed_is_disarmed_as_well(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        one = rows.execution_id(1)
        gone = ((one, "0"), (one, "0"), (one, "1"))
        outcome = await backend.journal.append(evolve(rows.start(1), disarmed=gone))
        assert written(outcome) == [True]
        assert await backend.timers_of(one) == []

    async def test_the_last_word_on_a_timer_counts(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        """Arming twice, and arming and disarming, which a sleep that is over at once does."""
        one = rows.execution_id(1)
        await backend.journal.append(evolve(rows.start(1), timers=(rows.timer(1, "2", 1),)))
        timers = (rows.timer(1, "0", 1), rows.timer(1, "0", 9), rows.timer(1, "1"))
        disarmed = ((one, "1"), (one, "2"))
        await backend.journal.append(evolve(rows.advance(2, 1), timers=timers, disarmed=disarmed))
        assert await backend.timers_of(one) == [rows.timer(1, "0", 9)]

    async def test_what_is_fenced_arms_and_disarms_nothing(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        armed = (rows.timer(1, "0"), rows.timer(2, "0"))
        await backend.journal.append(evolve(rows.start(1, 2), timers=armed))
        batch = CommitBatch(
            (),
            (rows.change(1, 2, owner_epoch=9), rows.change(2, 2)),
            (rows.entry(1, 2), rows.entry(2, 2)),
            (),
            (rows.timer(1, "0", 7), rows.timer(1, "1"), rows.timer(2, "1")),
            ((rows.execution_id(1), "0"), (rows.execution_id(2), "0")),
        )
        outcome = await backend.journal.append(batch)
        assert outcome.unmatched == {rows.execution_id(1)}
        assert await backend.timers_of(rows.execution_id(1)) == [rows.timer(1, "0")]
        assert await backend.timers_of(rows.execution_id(2)) == [rows.timer(2, "1")]

    async def test_a_batch_that_is_sent_again_brings_nothing_back(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        one = rows.execution_id(1)
        arming = evolve(rows.advance(2, 1), timers=(rows.timer(1, "0"),))
        await backend.journal.append(rows.start(1))
        await backend.journal.append(arming)
        await backend.journal.append(evolve(rows.advance(3, 1), disarmed=((one, "0"),)))
        outcome = await backend.journal.append(arming)
        assert outcome.unmatched == {one}
        assert await backend.timers_of(one) == []

    async def test_a_batch_that_is_refused_arms_nothing(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        one = rows.execution_id(1)
        await backend.journal.append(evolve(rows.start(1), timers=(rows.timer(1, "0"),)))
        for bad in (rows.timer(1, "\ud800"), rows.timer(1, "2", 2**63)):
            batch = evolve(
                rows.advance(2, 1), timers=(rows.timer(1, "1"), bad), disarmed=((one, "0"),)
            )
            with pytest.raises(EntryRejected):
                await backend.journal.append(batch)
        assert await backend.timers_of(one) == [rows.timer(1, "0")]

    async def test_many_at_once(self, backend: ExecutionBackend, rows: Rows) -> None:
        """More than go in one statement of any kind, of many executions."""
        numbers = range(1, 151)
        timers = [rows.timer(number, str(place)) for number in numbers for place in range(3)]
        promises = [rows.promise(number, number) for number in numbers]
        batch = evolve(rows.start(*numbers), timers=tuple(timers), promises=tuple(promises))
        await backend.journal.append(batch)
        gone = tuple((timer.execution_id, timer.timer_id) for timer in timers if timer[1] != "1")
        await backend.journal.append(evolve(rows.advance(2, *numbers), disarmed=gone))
        for number in numbers:
            one = rows.execution_id(number)
            assert await backend.timers_of(one) == [rows.timer(number, "1")]
            assert await backend.promises_of(one) == [rows.promise(number, number)]

    async def test_every_column_comes_back(self, backend: ExecutionBackend, rows: Rows) -> None:
        """Ordered by when they are due, and then by the code points of their ids."""
        made = [
            *(rows.timer(1, text, 7) for text in TEXTS),
            *(rows.timer(1, text, 8) for text in ("a", "B", "é", "z", "Z", "a.b", "a b", "\uffff")),
            *(rows.timer(1, str(time), time) for time in TIMES),
        ]
        await backend.journal.append(evolve(rows.start(1), timers=tuple(made)))
        found = await backend.timers_of(rows.execution_id(1))
        assert found == sorted(made, key=lambda timer: (timer.due_at, timer.timer_id))
        assert {type(timer) for timer in found} == {TimerRow}
        gone = tuple((timer.execution_id, timer.timer_id) for timer in made)
        await backend.journal.append(evolve(rows.advance(2, 1), disarmed=gone))
        assert await backend.timers_of(rows.execution_id(1)) == []
