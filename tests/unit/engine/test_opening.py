"""Opening an engine: what dead owners left is resumed, and how much runs at once."""

from __future__ import annotations

import asyncio
import logging

import pytest

from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.programs import Stage, version
from tests.unit.engine.owning import answering, program_of
from tests.unit.engine.processes import child


async def test_opening_resumes_what_dead_owners_left(open_engine: OpenEngine, url: str) -> None:
    """Nobody asks for the executions."""
    stage = Stage()
    done: list[int] = []

    async def second(number: int) -> str:
        done.append(number)
        if len(done) == 3:
            stage.reached.set()
        return "recovered"

    async with child("own", url, "alone", 1, 2, 3) as owner:
        for _ in range(3):
            await owner.says("holding")
        await owner.kill()
    async with open_engine(program_of(url, second)) as engine:
        await stage.reached.wait()
        for row in await engine.list():
            assert row.owner_id == engine.parts.journal.owner_id
    assert sorted(done) == [1, 2, 3]


async def test_executions_of_unknown_workflows_are_left_alone_and_reported(
    open_engine: OpenEngine, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with child("own", url, "alone", 1, 2) as owner:
        for _ in range(2):
            await owner.says("holding")
        await owner.kill()
    other = version(lambda _ctx: asyncio.sleep(0, "another program"), "another")
    with caplog.at_level(logging.WARNING, "durable_core.engine"):
        async with open_engine(other) as engine:
            before = await engine.list()
            assert await engine.run(other) == "another program"
            assert (await engine.list())[:2] == before
    assert {row.owner_epoch for row in before} == {1}
    assert [record.getMessage() for record in caplog.records] == [
        (
            "executions of workflow 'program' wait for an engine that registers it; this one does "
            "not"
        ),
    ]


async def test_opening_without_recovery_leaves_everything_alone(
    open_engine: OpenEngine, url: str
) -> None:
    async with child("own", url, "alone", 1) as owner:
        await owner.says("holding")
        await owner.kill()
    program = program_of(url, answering("ours"))
    async with open_engine(program, recover=False) as engine:
        (row,) = await engine.list()
        assert (row.status, row.owner_epoch) == ("running", 1)
        assert await (await engine.get((program, "1"))).result() == ["first", "ours", "last"]


# --- how many at once


@pytest.mark.parametrize("recovered", [False, True])
async def test_max_concurrent_executions_holds(
    open_engine: OpenEngine, url: str, *, recovered: bool
) -> None:
    running: set[int] = set()
    most: list[int] = []
    stage = Stage()

    async def second(number: int) -> str:
        running.add(number)
        most.append(len(running))
        if len(running) > 1:
            stage.reached.set()
        await stage.gate.wait()
        running.discard(number)
        return "ours"

    program = program_of(url, second)
    numbers = list(range(7))
    if recovered:
        async with child("own", url, "alone", *numbers) as owner:
            for _ in numbers:
                await owner.says("holding")
            await owner.kill()
    async with open_engine(program, max_concurrent_executions=2) as engine:
        handles = [await engine.start(program, number, key=str(number)) for number in numbers]
        await stage.reached.wait()
        for _ in range(50):
            await engine.list()  # a turn for every task, and a hop to a thread and back
        assert len(running) == 2
        stage.gate.set()
        for handle in handles:
            assert await handle.result() == ["first", "ours", "last"]
    assert max(most) == 2
    assert len(most) == len(numbers)


async def test_an_execution_that_waits_for_a_place_can_be_cancelled(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()
    program = version(lambda _ctx: stage.pause())
    async with open_engine(program, max_concurrent_executions=1) as engine:
        first = await engine.start(program)
        await stage.reached.wait()
        second = await engine.start(program)
        cancelling = asyncio.create_task(second.cancel())
        stage.gate.set()
        await first.result()
        await cancelling
        assert await second.status() is Status.CANCELLED
