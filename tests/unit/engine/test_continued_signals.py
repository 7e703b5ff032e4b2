"""Signals to an execution that is continued: what it did not receive goes along, each once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, step, workflow
from durable_core.contracts.exchange import InboxRow
from durable_core.engine.messages import Sender
from durable_core.errors import ExecutionTerminal
from durable_core.ids import ExecutionId
from durable_core.model.entries import EntryKind
from durable_core.model.execution import ExecutionRow
from durable_core.wire.waits import Signal
from tests.engines import OpenEngine
from tests.journals import OTHER_MASTER, key_text
from tests.programs import Stage
from tests.unit.engine.chaining import as_begun

pytestmark = pytest.mark.dialects


@step(name="note")
async def note(number: int) -> int:
    return number


def taking(stage: Stage, each: int, links: int) -> Any:
    """Each of so many links receives `each` numbers; the first one waits for the test before."""

    @workflow(name="taking")
    async def takes(ctx: DurableContext, so_far: list[int]) -> list[int]:
        await ctx.step(note, len(so_far))
        if not so_far:
            await stage.pause()
        so_far += [await ctx.receive("number", int) for _ in range(each)]
        return so_far if len(so_far) == each * links else ctx.continue_as_new(so_far)

    return takes


async def journaled(engine: DurableEngine, execution_id: ExecutionId, count: int) -> None:
    """Wait until so many signals stand in its journal, and none is left in the inbox."""
    while True:
        rows = await engine.parts.backend.journal.read_execution(execution_id.bytes)
        kinds = [row.entry_kind for row in rows]
        left = await engine.parts.backend.read_inbox()
        if kinds.count(EntryKind.PROMISE_RESOLVED) == count and not left:
            return
        await engine.parts.backend.probe()


async def rows_of(engine: DurableEngine) -> list[Any]:
    return await as_begun(engine, "taking")


async def requests_of(engine: DurableEngine, execution_id: bytes) -> list[bytes]:
    """The request ids of the signals in a journal."""
    found = []
    for row in await engine.parts.backend.journal.read_execution(execution_id):
        signal = None
        if row.entry_kind == EntryKind.PROMISE_RESOLVED:
            signal = Signal.find(row.detail)
        found += [signal.request_id] if signal else []
    return found


@pytest.mark.parametrize("replayed", [False, True])
async def test_journaled_signals_that_were_not_received_go_along(
    open_engine: OpenEngine, *, replayed: bool
) -> None:
    stage = Stage()
    takes = taking(stage, 2, 3)
    async with open_engine(takes) as engine:
        handle = await engine.start(takes, [])
        await stage.reached.wait()
        for number in range(6):
            await engine.signal(handle.id, "number", number)
        await journaled(engine, handle.id, 6)
        if not replayed:
            stage.gate.set()
            assert await handle.result(20) == list(range(6))
    stage.gate.set()
    async with open_engine(takes) as engine:
        assert await (await engine.get(handle.id)).result(20) == list(range(6))
        await engine.verify()
        counts = [len(await requests_of(engine, row.execution_id)) for row in await rows_of(engine)]
        assert counts == [6, 4, 2]


async def test_signals_by_the_id_of_the_first_reach_the_latest(open_engine: OpenEngine) -> None:
    stage = Stage()
    stage.gate.set()
    takes = taking(stage, 1, 5)
    async with open_engine(takes) as engine, open_engine(recover=False) as other:
        handle = await engine.start(takes, [])
        for number in range(5):
            await other.signal(handle.id, "number", number)
        assert await handle.result(30) == list(range(5))
        while await engine.parts.backend.read_inbox():
            await engine.parts.backend.probe()
        with pytest.raises(ExecutionTerminal):
            await engine.signal(handle.id, "number", 9)


async def filed_late(engine: DurableEngine, row: ExecutionRow, value: int) -> None:
    """What somebody files who looked at the execution before it was continued."""
    await Sender(engine.parts).send(row, "number", value)


async def test_what_is_filed_with_a_continued_one_is_filed_again(open_engine: OpenEngine) -> None:
    stage = Stage()
    takes = taking(stage, 1, 4)
    async with open_engine(takes) as engine:
        handle = await engine.start(takes, [])
        row = await engine.latest(handle.id)
        stage.gate.set()
        for number in range(3):
            await engine.signal(handle.id, "number", number)
        while len(await rows_of(engine)) < 4:
            await engine.parts.backend.probe()
        await filed_late(engine, row, 3)
        assert await handle.result(20) == [0, 1, 2, 3]
        while await engine.parts.backend.read_inbox():
            await engine.parts.backend.probe()


async def test_one_that_a_link_holds_is_not_received_again(open_engine: OpenEngine) -> None:
    """Its owner was killed between the journal and the inbox, and it was continued since."""
    stage = Stage()
    takes = taking(stage, 1, 3)
    async with open_engine(takes) as engine:
        handle = await engine.start(takes, [])
        await stage.reached.wait()
        requests: list[InboxRow] = []
        post = engine.parts.backend.post_inbox

        async def kept(request: InboxRow) -> bool:
            requests.append(request)
            return await post(request)

        vars(engine.parts.backend)["post_inbox"] = kept
        await engine.signal(handle.id, "number", 0)
        await engine.signal(handle.id, "number", 1)
        del vars(engine.parts.backend)["post_inbox"]
        assert len(requests) == 2
        await journaled(engine, handle.id, 2)
        stage.gate.set()
        while len(await rows_of(engine)) < 3:
            await engine.parts.backend.probe()
        for request in requests:
            assert await engine.parts.backend.post_inbox(request)
        while await engine.parts.backend.read_inbox():
            await engine.parts.backend.probe()
        await engine.signal(handle.id, "number", 2)
        assert await handle.result(20) == [0, 1, 2]


async def test_whoever_is_led_on_takes_along_what_waits_on_the_way(
    open_engine: OpenEngine,
) -> None:
    """So that what is sent later does not overtake it."""
    stage = Stage()
    takes = taking(stage, 1, 3)
    async with open_engine(takes) as engine:
        handle = await engine.start(takes, [])
        await stage.reached.wait()
        row = await engine.latest(handle.id)
        await engine.signal(handle.id, "number", 0)
        await journaled(engine, handle.id, 1)
        await engine._watch.close()  # nobody answers what is filed from now on
        stage.gate.set()
        while len(await rows_of(engine)) < 2:
            await engine.parts.backend.probe()
        await filed_late(engine, row, 1)
        await engine.signal(handle.id, "number", 2)
        latest = (await rows_of(engine))[-1].execution_id
        requests = await engine.parts.backend.read_inbox()
        assert [request.execution_id for request in requests] == [latest] * 2
    async with open_engine(takes) as engine:
        assert await (await engine.get(handle.id)).result(20) == [0, 1, 2]


async def test_signals_sent_while_links_come_and_go_are_received_in_order(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()
    stage.gate.set()
    takes = taking(stage, 2, 10)
    async with open_engine(takes) as engine:
        handle = await engine.start(takes, [])
        for number in range(20):
            await engine.signal(handle.id, "number", number)
            await asyncio.sleep(0)
        assert await handle.result(30) == list(range(20))
        await engine.verify()


@pytest.mark.parametrize("slot", ["signal:no digits", "signal:00"])
async def test_what_nobody_can_read_is_refused_and_keeps_nobody(
    open_engine: OpenEngine, caplog: pytest.LogCaptureFixture, slot: str
) -> None:
    stage = Stage()
    takes = taking(stage, 1, 2)
    async with open_engine(takes) as engine:
        handle = await engine.start(takes, [])
        await stage.reached.wait()
        await engine.signal(handle.id, "number", 0)
        await journaled(engine, handle.id, 1)
        await engine._watch.close()
        damaged = InboxRow(handle.id.bytes, slot, "signal", b"\x01\x01no seal", 1)
        assert await engine.parts.backend.post_inbox(damaged)
        stage.gate.set()
        while len(await rows_of(engine)) < 2:
            await engine.parts.backend.probe()
        latest = await engine.latest(handle.id)
        await engine.signal(handle.id, "number", 1)
        assert "a request was refused" in caplog.text
        left = await engine.parts.backend.read_inbox()
        assert {one.execution_id for one in left} == {latest.execution_id}
    async with open_engine(takes) as engine:
        assert await (await engine.get(handle.id)).result(20) == [0, 1]


async def test_without_the_key_signals_stay_and_the_way_is_found(
    open_engine: OpenEngine, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()
    takes = taking(stage, 1, 2)
    async with open_engine(takes) as engine:
        handle = await engine.start(takes, [])
        await stage.reached.wait()
        row = await engine.latest(handle.id)
        await engine.signal(handle.id, "number", 0)
        await journaled(engine, handle.id, 1)
        await engine._watch.close()
        stage.gate.set()
        while len(await rows_of(engine)) < 2:
            await engine.parts.backend.probe()
        await filed_late(engine, row, 1)
        async with open_engine(recover=False, keys=key_text((2, OTHER_MASTER))) as other:
            for _ in range(2):
                latest = await other.latest(handle.id)
                assert latest.execution_id == (await rows_of(engine))[-1].execution_id
            assert "wait for an engine" in caplog.text
            assert len(await other.parts.backend.read_inbox()) == 1
    async with open_engine(takes) as engine:
        assert await (await engine.get(handle.id)).result(20) == [0, 1]
