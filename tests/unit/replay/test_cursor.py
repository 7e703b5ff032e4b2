"""The cursor on real journals: every answer, at every segment size, and what it holds meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from durable_core.errors import (
    ReplayDivergence,
)
from durable_core.ids import ExecutionId, StepId
from durable_core.journal import JournalWriterHandle
from durable_core.model.effects import EffectClass
from durable_core.model.entries import (
    EntryKind,
    ExecutionFinished,
    ExecutionStarted,
    IntentSettled,
    JournalRow,
)
from durable_core.model.execution import Status
from durable_core.replay.lookup import FRESH, IntentOnly, Recorded, Settled, Wanted
from tests.cursors import cursor_of, steps, value, wanted
from tests.journals import (
    FINGERPRINT,
    CountedJournal,
    begun,
    failure_of,
    idem_key_of,
    intent_of,
    opened,
    result_of,
    writing,
)

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED
SEGMENTS = range(1, 10)


async def test_the_arguments_come_first(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal, payload=b"\x81\x01")
        cursor = await cursor_of(backend, execution_id)
        assert await cursor.open() == b"\x81\x01"


@pytest.mark.parametrize("segment", SEGMENTS)
async def test_each_step_gets_its_own_result(url: str, segment: int) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 7)
        cursor = await cursor_of(backend, execution_id, segment)
        await cursor.open()
        assert [await value(cursor, step) for step in range(7)] == [
            bytes((0, step)) for step in range(7)
        ]
        assert await cursor.look_up(wanted(7)) == FRESH
        await cursor.finish()


async def test_a_result_is_found_whatever_the_order_of_the_calls(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 7)
        cursor = await cursor_of(backend, execution_id, 2)
        await cursor.open()
        for step in (6, 0, 3, 5, 1, 4, 2):
            assert await value(cursor, step) == bytes((0, step))
        await cursor.finish()


async def test_a_step_that_another_one_overtook_is_fresh(url: str) -> None:
    """With gather(a, b), b finished and a not is a legal journal."""
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal)
        await journal.append_acked(result_of(execution_id, 1, b"\x00b"))
        cursor = await cursor_of(backend, execution_id)
        assert await cursor.look_up(wanted(0)) == FRESH
        assert await value(cursor, 1) == b"\x00b"
        await cursor.finish()


async def test_an_entry_is_consumed_once(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 1)
        cursor = await cursor_of(backend, execution_id)
        await value(cursor, 0)
        assert await cursor.look_up(wanted(0)) == FRESH


async def guarded_steps(journal: JournalWriterHandle, before: int) -> ExecutionId:
    """Plain steps, then a guarded one with intent and result, then a guarded one left open."""
    execution_id = await steps(journal, before)
    await journal.append_acked(intent_of(execution_id, before))
    closing = result_of(execution_id, before, b"\x00done", effect=GUARDED)
    await journal.append_acked(closing)
    await journal.append_acked(intent_of(execution_id, before + 1))
    return execution_id


@pytest.mark.parametrize("segment", SEGMENTS)
@pytest.mark.parametrize("before", [0, 1, 2, 5])
async def test_ec_13_an_intent_is_never_seen_without_its_result(
    url: str,
    before: int,
    segment: int,
) -> None:
    """Wherever a segment ends, so also between the two."""
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await guarded_steps(journal, before)
        cursor = await cursor_of(backend, execution_id, segment)
        await cursor.open()
        found = await cursor.look_up(wanted(before, GUARDED))
        assert isinstance(found, Recorded)
        assert cursor.open_payload(found.row) == b"\x00done"
        still_open = await cursor.look_up(wanted(before + 1, GUARDED))
        assert isinstance(still_open, IntentOnly)
        assert still_open.row.entry_no == before + 4


@pytest.mark.parametrize("segment", SEGMENTS)
async def test_ec_13_other_steps_may_stand_between_an_intent_and_its_result(
    url: str,
    segment: int,
) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal)
        for entry in (
            intent_of(execution_id, 0),
            intent_of(execution_id, 1),
            result_of(execution_id, 2, b"\x00two"),
            failure_of(execution_id, 1, b"one", effect=GUARDED),
            result_of(execution_id, 0, b"\x00zero", effect=GUARDED),
        ):
            await journal.append_acked(entry)
        cursor = await cursor_of(backend, execution_id, segment)
        found = [
            await cursor.look_up(wanted(0, GUARDED)),
            await cursor.look_up(wanted(1, GUARDED)),
            await cursor.look_up(wanted(2)),
        ]
        payloads = [cursor.open_payload(one.row) for one in found if isinstance(one, Recorded)]
        assert payloads == [b"\x00zero", b"one", b"\x00two"]


@pytest.mark.parametrize("segment", [1, 2, 3, 4])
async def test_an_operators_word_is_seen_with_the_intent_that_it_settles(
    url: str,
    segment: int,
) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal)
        intent = intent_of(execution_id, 0)
        await journal.append_acked(intent)
        settled = IntentSettled(
            execution_id, 0, StepId("0"), FINGERPRINT, intent.idem_key, GUARDED, b"\x00"
        )
        await journal.writer.change_status(journal._lane(execution_id), Status.BLOCKED)
        await journal.append_acked(settled)
        cursor = await cursor_of(backend, execution_id, segment)
        found = await cursor.look_up(wanted(0, GUARDED))
        assert isinstance(found, Settled)
        assert cursor.open_payload(found.row) == b"\x00"


async def test_ec_14_concurrent_look_ups_at_a_boundary_read_once(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 8)
        counted = CountedJournal(backend.journal)
        cursor = await cursor_of(backend, execution_id, 3, counted)
        await cursor.open()
        assert counted.reads == [(0, 3)], "the start and steps 0 and 1"
        await asyncio.gather(*(value(cursor, step) for step in (2, 3, 4)))
        assert counted.reads == [(0, 3), (3, 3)]
        found = await asyncio.gather(*(cursor.look_up(wanted(step)) for step in range(8, 20)))
        assert found == [FRESH] * 12
        assert counted.reads == [(0, 3), (3, 3), (6, 4)], "one row more than the last three"


async def test_ec_14_a_cancelled_look_up_leaves_the_read_to_the_others(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 2)
        counted = CountedJournal(backend.journal)
        cursor = await cursor_of(backend, execution_id, 100, counted)
        first = asyncio.create_task(value(cursor, 0))
        second = asyncio.create_task(value(cursor, 1))
        await asyncio.wait({first}, timeout=0)
        first.cancel()
        assert await second == b"\x00\x01"
        assert first.cancelled()
        assert await value(cursor, 0) == b"\x00\x00", "not consumed by the one that left"
        assert len(counted.reads) == 1


async def test_a_load_that_was_cancelled_with_its_loop_is_no_damage(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 2)
        cursor = await cursor_of(backend, execution_id, 100)
        look_up = asyncio.create_task(value(cursor, 0))
        await asyncio.wait({look_up}, timeout=0)
        (load,) = [task for task in asyncio.all_tasks() if task.get_name() == "durable-replay-load"]
        load.cancel()
        await asyncio.wait({look_up, load})
        assert look_up.cancelled()
        assert await value(cursor, 0) == b"\x00\x00"


@pytest.mark.parametrize(
    "other",
    [
        evolve(wanted(1), fingerprint=b"g" * 32),
        evolve(wanted(1), effect=EffectClass.IDEMPOTENT),
    ],
    ids=["fingerprint", "effect"],
)
async def test_ec_12_another_step_is_a_divergence_and_gets_no_value(
    url: str,
    other: Wanted,
) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 3)
        cursor = await cursor_of(backend, execution_id)
        await value(cursor, 0)
        with pytest.raises(ReplayDivergence, match="step 1: the program asks for 'charge'"):
            await cursor.look_up(other)
        assert await value(cursor, 1) == b"\x00\x01", "not consumed"


async def test_inv_03_an_intent_without_a_result_needs_a_match_too(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await guarded_steps(journal, 0)
        cursor = await cursor_of(backend, execution_id)
        with pytest.raises(ReplayDivergence, match="step 1"):
            await cursor.look_up(evolve(wanted(1, GUARDED), fingerprint=b"g" * 32))


@pytest.mark.parametrize("segment", [1, 2, 100])
async def test_ec_18_a_program_that_ends_early_diverges(url: str, segment: int) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 4)
        cursor = await cursor_of(backend, execution_id, segment)
        await value(cursor, 0)
        await value(cursor, 2)
        with pytest.raises(ReplayDivergence, match=r"steps: 1 'charge', 3 'charge';"):
            await cursor.finish()


async def test_ec_18_an_open_intent_that_nobody_asks_for_counts(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal)
        await journal.append_acked(intent_of(execution_id, 0))
        cursor = await cursor_of(backend, execution_id)
        with pytest.raises(ReplayDivergence, match="steps: 0 'charge'"):
            await cursor.finish()


async def test_a_closing_entry_is_no_step(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 1)
        done = ExecutionFinished(execution_id, 0, Status.COMPLETED, b"\x00")
        await journal.append_acked(done)
        cursor = await cursor_of(backend, execution_id)
        await value(cursor, 0)
        await cursor.finish()
        assert cursor.exhausted


async def test_only_what_is_not_consumed_is_held(url: str) -> None:
    """Memory of sequential code is one segment, whatever the length of the journal."""
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 60)
        cursor = await cursor_of(backend, execution_id, 7)
        await cursor.open()
        held = []
        for step in range(60):
            await value(cursor, step)
            held.append(len(cursor.unconsumed))
        assert max(held) == 6, "a segment less the row that was consumed"
        assert held[-1] == 0
        assert not cursor.replaying


@pytest.mark.parametrize("segment", [2, 100])
async def test_replaying_ends_with_the_last_journaled_step(url: str, segment: int) -> None:
    """Whether what is left is still to be read, or read and still to be asked for."""
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 2)
        cursor = await cursor_of(backend, execution_id, segment)
        await cursor.open()
        assert cursor.replaying
        await value(cursor, 0)
        assert cursor.replaying
        await value(cursor, 1)
        assert not cursor.replaying


@pytest.mark.parametrize(
    ("effect", "only"),
    [
        (EffectClass.IDEMPOTENT, True),
        (EffectClass.AT_LEAST_ONCE, False),
        (GUARDED, False),
    ],
)
async def test_whether_everything_journaled_is_idempotent(
    url: str,
    effect: EffectClass,
    *,
    only: bool,
) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal)
        await journal.append_acked(result_of(execution_id, 0, effect=EffectClass.IDEMPOTENT))
        await journal.append_acked(result_of(execution_id, 1, effect=effect))
        cursor = await cursor_of(backend, execution_id, 1)
        await cursor.read_all()
        assert cursor.only_idempotent is only


@pytest.mark.parametrize("segment", [1, 2, 3, 100])
async def test_a_fresh_generation_sees_earlier_ones_by_key_alone(url: str, segment: int) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal, payload=b"\x81\x01")
        await journal.append_acked(result_of(execution_id, 0, b"\x00old"))
        failed = ExecutionFinished(execution_id, 0, Status.FAILED, b"\x01")
        await journal.append_acked(failed)
        await journal.append_acked(ExecutionStarted(execution_id, 1, b"\x81\x02"))
        await journal.append_acked(result_of(execution_id, 5, b"\x00new", generation=1))
        cursor = await cursor_of(backend, execution_id, segment)
        assert await cursor.open() == b"\x81\x02", "the arguments of this generation"
        assert await cursor.look_up(wanted(0)) == FRESH, "never by position"
        assert await value(cursor, 5) == b"\x00new"
        row = cursor.prior.claim(idem_key_of(0))
        assert row is not None
        assert cursor.open_payload(row) == b"\x00old"
        assert cursor.prior.divergences == 0
        await cursor.finish()


async def test_a_generation_that_did_not_finish_was_a_divergence(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal)
        await journal.append_acked(ExecutionStarted(execution_id, 1, b"\x80"))
        await journal.append_acked(ExecutionStarted(execution_id, 2, b"\x80"))
        cursor = await cursor_of(backend, execution_id)
        await cursor.open()
        assert cursor.prior.divergences == 2


async def test_a_look_up_returns_the_row_as_it_was_journaled(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal)
        entry = failure_of(execution_id, 0, b"error")
        await journal.append_acked(entry)
        cursor = await cursor_of(backend, execution_id)
        found = await cursor.look_up(wanted(0))
        assert isinstance(found, Recorded)
        row: JournalRow = found.row
        assert row.entry_kind == EntryKind.STEP_FAILED
        assert (row.fingerprint, row.idem_key, row.detail) == (
            entry.fingerprint,
            entry.idem_key,
            entry.detail,
        )
        assert cursor.open_payload(row) == b"error"
