"""A fold whose answer is lost, that finds damage, or that the store does not take."""

from __future__ import annotations

from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, EffectClass, step
from durable_core.contracts import Fold
from durable_core.errors import (
    EntryRejected,
    IntegrityError,
    JournalUnavailable,
    TransientStoreError,
)
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.journals import change, path_of
from tests.programs import Stage, version

LOST = TransientStoreError("the line broke", landed_unknown=True)
CAP = 10


@step(effect=EffectClass.IDEMPOTENT)
async def plain(number: int) -> int:
    return number


def troubled(engine: DurableEngine, *, before: Any = None, behind: Any = None) -> list[bool]:
    """Let folds of this engine raise what there is, once each; whether each that ran applied."""
    journal: Any = engine.parts.backend.journal
    real, applied = journal.fold, []
    raised = {"before": before, "behind": behind}

    async def fold(fold: Fold) -> bool:
        error, raised["before"] = raised["before"], None
        if error is not None:
            raise error
        applied.append(await real(fold))
        error, raised["behind"] = raised["behind"], None
        if error is not None:
            raise error
        return bool(applied[-1])

    journal.fold = fold
    return applied


async def asked(ctx: DurableContext) -> int:
    for number in range(4):
        await ctx.step(plain, number)
    await ctx.checkpoint()
    return await ctx.step(plain, 4)


@pytest.mark.parametrize(
    ("trouble", "times"),
    [({"before": LOST}, [True]), ({"behind": LOST}, [True])],
    ids=["not landed", "landed"],
)
async def test_ec_38_a_fold_without_an_answer_is_made_once(
    open_engine: OpenEngine, trouble: dict[str, Any], times: list[bool]
) -> None:
    program = version(asked)
    async with open_engine(program) as engine:
        applied = troubled(engine, **trouble)
        handle = await engine.start(program)
        assert await handle.result() == 4
        assert applied == times
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
        assert [(row.entry_no, row.entry_kind) for row in rows][1] == (5, EntryKind.CHECKPOINT)
        await engine.verify()


async def test_ec_38_a_checkpoint_that_was_folded_again_without_an_answer(
    open_engine: OpenEngine,
) -> None:
    async def body(ctx: DurableContext) -> int:
        await ctx.step(plain, 0)
        await ctx.checkpoint()
        troubled(kept[0], behind=LOST)
        await ctx.step(plain, 1)
        await ctx.checkpoint()
        await ctx.step(plain, 2)
        await ctx.checkpoint()
        return 2

    kept: list[DurableEngine] = []
    program = version(body)
    async with open_engine(program) as engine:
        kept.append(engine)
        handle = await engine.start(program)
        assert await handle.result() == 2
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
        assert [row.entry_no for row in rows] == [1, 3, 4, 5]
        await engine.verify()


async def test_a_fold_that_the_store_refuses_ends_the_run_and_not_the_program(
    open_engine: OpenEngine,
) -> None:
    """INV-21: the program sees nothing; the engine says why, and another try goes on."""
    program = version(asked)
    async with open_engine(program) as engine:
        troubled(engine, before=JournalUnavailable("the disk is full"))
        handle = await engine.start(program)
        with pytest.raises(JournalUnavailable, match="the disk is full"):
            await handle.result()
    async with open_engine(program) as engine:
        assert await (await engine.get(handle.id)).result(20) == 4


async def test_a_fold_beside_the_steps_that_fails_is_told_and_tried_again(
    open_engine: OpenEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(ctx: DurableContext) -> int:
        return sum([await ctx.step(plain, number) for number in range(5 * CAP)])

    program = version(body)
    async with open_engine(program, max_steps_per_execution=CAP) as engine:
        applied = troubled(engine, before=EntryRejected("not now"))
        assert await engine.run(program) == sum(range(5 * CAP))
        assert applied
        assert all(applied)
    assert "could not be folded: not now" in caplog.text


@pytest.mark.parametrize("cap", [CAP, 1000], ids=["by itself", "by the program"])
async def test_inv_16_what_was_changed_is_never_folded(
    open_engine: OpenEngine, url: str, cap: int
) -> None:
    stage = Stage()

    async def body(ctx: DurableContext) -> int:
        await ctx.step(plain, 0)
        await stage.pause()
        for number in range(3 * CAP):
            await ctx.step(plain, number)
        await ctx.checkpoint()
        return 0

    program = version(body)
    async with open_engine(program, max_steps_per_execution=cap) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        await engine.flush()
        statement = "UPDATE durable_journal SET created_at = 7 WHERE entry_no = 2"
        assert change(path_of(url), statement) == 1
        stage.gate.set()
        with pytest.raises(IntegrityError, match="entry 2"):
            await handle.result()


async def test_inv_16_a_hole_is_found_by_the_fold(open_engine: OpenEngine, url: str) -> None:
    stage = Stage()

    async def body(ctx: DurableContext) -> None:
        for number in range(3):
            await ctx.step(plain, number)
        await stage.pause()
        await ctx.checkpoint()

    program = version(body)
    for place in (2, 4):
        stage.reached.clear()
        stage.gate.clear()
        async with open_engine(program, recover=False) as engine:
            handle = await engine.start(program)
            await stage.reached.wait()
            await engine.flush()
            statement = "DELETE FROM durable_journal WHERE entry_no = ? AND execution_id = ?"
            assert change(path_of(url), statement, place, handle.id.bytes) == 1
            stage.gate.set()
            with pytest.raises(IntegrityError, match=f"entry {place} .* is missing"):
                await handle.result()


async def test_entries_that_change_under_a_fold_are_damage(open_engine: OpenEngine) -> None:
    program = version(asked)
    async with open_engine(program) as engine:
        journal: Any = engine.parts.backend.journal

        async def fold(_: Fold) -> bool:
            return False

        journal.fold = fold
        handle = await engine.start(program)
        with pytest.raises(IntegrityError, match="changed while they were folded"):
            await handle.result()


async def test_inv_05_what_a_cipher_says_is_not_told(open_engine: OpenEngine) -> None:
    stage = Stage()

    async def body(ctx: DurableContext) -> None:
        await ctx.step(plain, 0)
        await stage.pause()
        await ctx.checkpoint()

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        await engine.flush()
        execution: Any = engine._roster.running(handle.id)
        frame, seal = execution.lane.envelope._sealing

        def defective(payload: bytes, _: bytes) -> bytes:
            message = f"cannot seal {payload!r}"
            raise ValueError(message)

        execution.lane.envelope._sealing = frame, defective
        stage.gate.set()
        with pytest.raises(EntryRejected, match="could not be folded: ValueError") as refused:
            await handle.result()
        assert refused.value.__cause__ is None
        execution.lane.envelope._sealing = frame, seal
