"""What leads from a continued execution to the latest: waiting, cancelling, children, keys."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, step, workflow
from durable_core.contracts import CommitBatch
from durable_core.engine.succession import Successions
from durable_core.errors import (
    ExecutionCancelled,
    ExecutionFenced,
    ExecutionNotFound,
    ExecutionTerminal,
    IntegrityError,
    KeyConflict,
)
from durable_core.ids import ExecutionId
from durable_core.model.execution import Status
from durable_core.wire.links import link_detail
from tests.dialects import query
from tests.engines import OpenEngine
from tests.programs import Stage, version
from tests.unit.engine.chaining import as_begun


@step(name="note")
async def note(number: int) -> int:
    return number


def held_at(stage: Stage, last: int, stop: int) -> Any:
    """A chain whose link number `stop` waits for the test."""

    @workflow(name="chain")
    async def chain(ctx: DurableContext, number: int) -> int:
        await ctx.step(note, number)
        if number == stop and not stage.gate.is_set():
            await stage.pause()
        return number if number == last else ctx.continue_as_new(number + 1)

    return chain


async def ids_of(engine: DurableEngine, name: str = "chain") -> list[ExecutionId]:
    return [ExecutionId(bytes=row.execution_id) for row in await as_begun(engine, name)]


async def test_another_engine_waits_for_the_whole_chain(open_engine: OpenEngine) -> None:
    stage = Stage()
    chain = held_at(stage, 3, 1)
    async with open_engine(chain) as owner, open_engine(recover=False) as other:
        handle = await owner.start(chain, 0)
        await stage.reached.wait()
        elsewhere = await other.get(handle.id)
        assert await elsewhere.status() is Status.RUNNING
        waiting = asyncio.create_task(elsewhere.result(20))
        stage.gate.set()
        assert await waiting == 3
        assert await elsewhere.status() is Status.COMPLETED


@pytest.mark.parametrize("here", [True, False])
async def test_cancelling_the_first_cancels_the_latest(
    open_engine: OpenEngine, *, here: bool
) -> None:
    stage = Stage()
    chain = held_at(stage, 3, 2)
    async with open_engine(chain) as owner, open_engine(recover=False) as other:
        handle = await owner.start(chain, 0)
        await stage.reached.wait()
        await (owner if here else other).cancel(handle.id)
        with pytest.raises(ExecutionCancelled):
            await handle.result(20)
        statuses = [row.status for row in await owner.list(workflow="chain")]
        assert statuses == ["completed", "completed", "cancelled"]
        with pytest.raises(ExecutionTerminal):
            await owner.cancel(handle.id)


async def test_a_chain_that_ended_is_not_cancelled(open_engine: OpenEngine) -> None:
    chain = held_at(Stage(), 2, 9)
    async with open_engine(chain) as engine:
        handle = await engine.start(chain, 0)
        assert await handle.result(20) == 2
        with pytest.raises(ExecutionTerminal):
            await handle.cancel()
        assert await handle.status() is Status.COMPLETED


async def test_a_parent_waits_for_the_last_of_its_child(open_engine: OpenEngine) -> None:
    chain = held_at(Stage(), 3, 9)

    async def body(ctx: DurableContext) -> list[Any]:
        child = await ctx.start_child(chain, 0)
        return [str(child.id), await child.result()]

    program = version(body)
    async with open_engine(program, chain) as engine:
        child, value = await engine.run(program)
        assert value == 3
        assert child == str((await ids_of(engine))[0])


async def test_a_parent_that_is_cancelled_cancels_the_latest_of_its_child(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()
    chain = held_at(stage, 3, 2)

    async def body(ctx: DurableContext) -> object:
        child = await ctx.start_child(chain, 0)
        return await child.result()

    program = version(body)
    async with open_engine(program, chain) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        await handle.cancel()
        latest = (await ids_of(engine))[-1]
        assert await (await engine.get(latest)).status() is Status.CANCELLED


async def test_children_go_on_without_a_parent_that_continues(open_engine: OpenEngine) -> None:
    stage = Stage()
    child = held_at(stage, 1, 0)

    @workflow(name="parent")
    async def parent(ctx: DurableContext, number: int) -> int:
        if number:
            return number
        await ctx.start_child(child, 0)
        await stage.reached.wait()
        return ctx.continue_as_new(1)

    async with open_engine(parent, child) as engine:
        assert await engine.run(parent, 0) == 1
        first = (await ids_of(engine))[0]
        assert await (await engine.get(first)).status() is Status.RUNNING
        stage.gate.set()
        assert await (await engine.get(first)).result(20) == 1


async def test_before_it_is_continued_a_key_still_conflicts(open_engine: OpenEngine) -> None:
    stage = Stage()
    chain = held_at(stage, 1, 0)
    async with open_engine(chain) as engine:
        handle = await engine.start(chain, 0, key="k")
        await stage.reached.wait()
        with pytest.raises(KeyConflict):
            await engine.start(chain, 5, key="k")
        stage.gate.set()
        assert await handle.result(20) == 1
        existing = await engine.start(chain, 5, key="k", on_conflict="existing")
        assert existing.id == (await ids_of(engine))[-1]


async def test_ec_29_a_stale_owner_continues_nothing(open_engine: OpenEngine) -> None:
    stage = Stage()
    chain = held_at(stage, 1, 0)
    async with open_engine(chain) as engine:
        handle = await engine.start(chain, 0, key="k")
        await stage.reached.wait()
        await engine.flush()
        row = await engine.latest(handle.id)
        assert await engine.parts.backend.claim(row, "somebody else", 1) is not None
        stage.gate.set()
        execution = engine._roster.running(handle.id)
        assert execution is not None
        outcome = await execution.outcome()
        assert isinstance(outcome.error, ExecutionFenced)
        assert await ids_of(engine) == [handle.id]
        assert await engine.parts.backend.find("chain", "k") == handle.id.bytes


async def test_one_that_was_pruned_on_the_way_is_not_found(open_engine: OpenEngine) -> None:
    chain = held_at(Stage(), 2, 9)
    async with open_engine(chain) as engine:
        handle = await engine.start(chain, 0, key="k")
        assert await handle.result(20) == 2
        last = (await ids_of(engine))[-1]
        journal = engine.parts.backend.journal
        assert len(await journal.prune(await journal.ended(None, 2))) == 2
    async with open_engine(chain) as engine:
        with pytest.raises(ExecutionNotFound):
            await engine.get(handle.id)
        latest = await engine.get((chain, "k"))
        assert latest.id == last
        assert await latest.result(20) == 2
        await engine.verify()


async def test_inv_16_a_link_that_was_changed_leads_nowhere(
    open_engine: OpenEngine, url: str
) -> None:
    chain = held_at(Stage(), 1, 9)
    async with open_engine(chain) as engine:
        handle = await engine.start(chain, 0)
        assert await handle.result(20) == 1
        other = await engine.start(chain, 1)
        assert await other.result(20) == 1
        blob = link_detail(other.id.bytes).hex()
        literal = f"x'{blob}'" if url.startswith("sqlite") else f"'\\x{blob}'"
        query(
            url,
            f"UPDATE durable_journal SET detail = {literal} "
            "WHERE entry_kind = 10 AND detail IS NOT NULL",
        )
        for asking in (handle.status(), handle.result(20), handle.cancel()):
            with pytest.raises(IntegrityError):
                await asking
        with pytest.raises(IntegrityError):
            await engine.signal(handle.id, "name", 1)


async def test_inv_16_a_key_that_leads_back_is_found(open_engine: OpenEngine, url: str) -> None:
    chain = held_at(Stage(), 1, 9)
    async with open_engine(chain) as engine:
        handle = await engine.start(chain, 0, key="k")
        assert await handle.result(20) == 1
        await engine.verify()
        blob = handle.id.hex
        literal = f"x'{blob}'" if url.startswith("sqlite") else f"'\\x{blob}'"
        query(
            url,
            f"UPDATE durable_execution_keys SET execution_id = {literal}",
        )
        with pytest.raises(IntegrityError, match="table of keys"):
            await engine.verify(handle.id)


async def test_what_was_looked_up_once_is_known(open_engine: OpenEngine) -> None:
    """A long chain is not walked for each who asks for its first."""
    chain = held_at(Stage(), 20, 99)
    async with open_engine(chain) as engine:
        handle = await engine.start(chain, 0)
        assert await handle.result(30) == 20
        reads: list[bytes] = []
        successions = Successions(engine.parts)
        load = engine.parts.backend.load

        async def counted(execution_id: bytes) -> Any:
            reads.append(execution_id)
            return await load(execution_id)

        vars(engine.parts.backend)["load"] = counted
        ids = await ids_of(engine)
        assert (await successions.latest(handle.id)).execution_id == ids[-1].bytes
        assert len(reads) == 21
        for one in ids:
            assert (await successions.latest(one)).execution_id == ids[-1].bytes
        assert len(reads) == 21 + 21


async def test_no_batch_ends_what_it_starts_and_continues_it(open_engine: OpenEngine) -> None:
    """The contract has a change for each execution that is continued."""
    batches: list[CommitBatch] = []

    @workflow(name="at once")
    async def at_once(ctx: DurableContext, number: int) -> int:
        return number if number == 2 else ctx.continue_as_new(number + 1)

    async with open_engine(at_once) as engine:
        append = engine.parts.backend.journal.append

        async def kept(batch: CommitBatch) -> Any:
            batches.append(batch)
            return await append(batch)

        vars(engine.parts.backend.journal)["append"] = kept
        assert await engine.run(at_once, 0) == 2
    successions = [pair for batch in batches for pair in batch.successions]
    assert len(successions) == 2
    for batch in batches:
        changed = {change.execution_id for change in batch.changes}
        assert all(before in changed for before, _ in batch.successions)
