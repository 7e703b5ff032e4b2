"""One owner for each execution, across engines and processes (INV-15)."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from durable_core import DurableEngine
from durable_core.errors import ExecutionError, ExecutionLocked, ExecutionTerminal, KeyConflict
from durable_core.model.execution import ExecutionRow, Status
from tests.dialects import query
from tests.engines import OpenEngine
from tests.journals import sqlite_url
from tests.programs import Stage
from tests.unit.engine.owning import Second, answering, from_many_tasks, ledger_of, program_of
from tests.unit.engine.processes import child, lives, seen_gone

pytestmark = pytest.mark.dialects

OURS = ["first", "ours", "last"]
THEIRS = ["first", "theirs", "last"]


def ledger(url: str) -> list[str]:
    return sorted(ledger_of(url).read_text().splitlines())


async def row_of(engine: DurableEngine, execution_id: uuid.UUID) -> ExecutionRow:
    row = await engine.parts.backend.load(execution_id.bytes)
    assert row is not None
    return row


def at(stage: Stage, value: str = "ours") -> Second:
    """A second step that waits on a stage."""

    async def second(_number: int) -> str:
        await stage.pause()
        return value

    return second


@pytest.mark.parametrize("how", ["alone", "fork"])
async def test_ec_28_sigkill_frees_an_execution_at_once(
    how: str, open_engine: OpenEngine, url: str
) -> None:
    """Also where a child that the owner had forked lives on."""
    program = program_of(url, answering("ours"))
    async with child("own", url, how, 1) as owner, open_engine(program, recover=False) as engine:
        (execution_id,) = map(uuid.UUID, (await owner.says("started")).split())
        forked = int(await owner.says("forked")) if how == "fork" else None
        await owner.says("holding")
        before = await row_of(engine, execution_id)
        with pytest.raises(ExecutionLocked):
            await engine.resume(execution_id)
        assert await row_of(engine, execution_id) == before
        await owner.kill()
        assert forked is None or lives(forked)
        if url.startswith("postgres"):
            await seen_gone(engine, before.owner_id)
        handle = await engine.resume(execution_id)
        assert await handle.result() == OURS
        assert (await row_of(engine, execution_id)).owner_epoch == before.owner_epoch + 1
        assert forked is None or lives(forked)
    assert ledger(url) == ["first 1", "last 1"]


@pytest.mark.parametrize("link", [False, pytest.param(True, marks=pytest.mark.files)])
async def test_ec_28_a_second_engine_in_the_process_is_another_owner(
    open_engine: OpenEngine, url: str, key: str, tmp_path: Path, *, link: bool
) -> None:
    """By whichever path: a symbolic link leads to the same journal and the same owners."""
    stage = Stage()
    program = program_of(url, at(stage))
    elsewhere = program_of(url, answering("elsewhere"))
    if link:
        (tmp_path / "link.db").symlink_to(tmp_path / "journal.db")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "up").symlink_to(tmp_path)
    path = tmp_path / "folder" / "up" / "link.db"
    second_url = sqlite_url(path) if link else url
    second = DurableEngine.open(second_url, workflows=[elsewhere], keys=key)
    async with open_engine(program) as first, second as other:
        handle = await first.start(program, 1, key="k")
        await stage.reached.wait()
        with pytest.raises(ExecutionLocked):
            await other.resume(handle.id)
        same = await other.start(elsewhere, 1, key="k")
        assert same.id == handle.id
        with pytest.raises(TimeoutError):
            await same.result(timeout=0.2)
        stage.gate.set()
        assert await same.result() == OURS
        assert await handle.result() == OURS
    assert ledger(url) == ["first 1", "last 1"]


async def test_a_result_is_waited_for_across_processes(open_engine: OpenEngine, url: str) -> None:
    program = program_of(url, answering("ours"))
    async with child("own", url, "alone", 1) as owner, open_engine(program) as engine:
        await owner.says("holding")
        handle = await engine.start(program, 1, key="1")
        with pytest.raises(TimeoutError):
            await handle.result(timeout=0.2)
        assert await handle.status() is Status.RUNNING
        owner.hear("theirs")
        assert await handle.result() == THEIRS
        assert json.loads(await owner.says("result")) == THEIRS
    assert ledger(url) == ["first 1", "last 1"]


async def test_a_waiter_takes_over_when_the_owner_dies(open_engine: OpenEngine, url: str) -> None:
    program = program_of(url, answering("ours"))
    async with (
        child("own", url, "alone", 1) as owner,
        open_engine(program, recover=False) as engine,
    ):
        await owner.says("holding")
        handle = await engine.start(program, 1, key="1")
        waiting = asyncio.create_task(handle.result())
        with pytest.raises(TimeoutError):
            await handle.result(timeout=0.1)
        assert not waiting.done()
        await owner.kill()
        assert await waiting == OURS
    assert ledger(url) == ["first 1", "last 1"]


async def test_a_waiter_that_does_not_know_the_workflow_leaves_it_to_others(
    open_engine: OpenEngine, url: str
) -> None:
    async with child("own", url, "alone", 1) as owner, open_engine() as stranger:
        await owner.says("holding")
        handle = await stranger.get(("program", "1"))
        await owner.kill()
        with pytest.raises(TimeoutError):
            await handle.result(timeout=0.2)
        program = program_of(url, answering("ours"))
        async with open_engine(program) as engine:
            assert await (await engine.get(handle.id)).result() == OURS
        assert await handle.result() == OURS


async def test_an_engine_in_the_background_takes_over_when_an_owner_dies(
    open_engine: OpenEngine, url: str
) -> None:
    """Nobody asks for the result: recovery is not only for the moment of opening."""
    stage = Stage()
    program = program_of(url, at(stage))
    async with child("own", url, "alone", 1) as owner, open_engine(program) as engine:
        await owner.says("holding")
        await owner.kill()
        await stage.reached.wait()
        stage.gate.set()
        assert await (await engine.get((program, "1"))).result() == OURS


async def test_ec_31_one_key_from_many_tasks_and_processes_is_one_execution(
    open_engine: OpenEngine, url: str
) -> None:
    program = program_of(url, answering("result"))
    async with child("start_many", url, 5) as one, child("start_many", url, 5) as two:
        await one.says("ready")
        await two.says("ready")
        async with open_engine(program) as engine:
            one.hear()
            two.hear()
            ours = await from_many_tasks(engine, program, 5)
            rows = await engine.list()
        theirs = [*json.loads(await one.says("results")), *json.loads(await two.says("results"))]
    results = [*ours, *map(tuple, theirs)]
    assert len(results) == 15
    assert {str(uuid.UUID(bytes=row.execution_id)) for row in rows} == {each for each, _ in results}
    assert [value for _, value in results] == [["first", "result", "last"]] * 15
    assert ledger(url) == ["first 7", "last 7"]


async def test_ec_31_many_keys_at_once_are_that_many_executions(
    open_engine: OpenEngine, url: str
) -> None:
    program = program_of(url, answering("result"))
    async with open_engine(program) as engine, open_engine(program) as other:
        handles = await asyncio.gather(
            *(each.start(program, n, key=str(n)) for n in range(20) for each in (engine, other))
        )
        await asyncio.gather(*(handle.result() for handle in handles))
        assert len({handle.id for handle in handles}) == 20
        assert len(await engine.list()) == 20
    assert len(ledger(url)) == 40


async def test_one_key_with_other_arguments_is_a_conflict_in_every_engine(
    open_engine: OpenEngine, url: str
) -> None:
    stage = Stage()
    program = program_of(url, at(stage))
    async with open_engine(program) as engine, open_engine(program) as other:
        handle = await engine.start(program, 1, key="k")
        with pytest.raises(KeyConflict):
            await other.start(program, 2, key="k")
        same = await other.start(program, 2, key="k", on_conflict="existing")
        assert same.id == handle.id
        stage.gate.set()
        assert await same.result() == OURS


async def test_ec_33_what_has_ended_is_not_changed(open_engine: OpenEngine, url: str) -> None:
    program = program_of(url, answering("ours"))

    def everything() -> list[Any]:
        tables = ("durable_executions", "durable_journal", "durable_inbox")
        return [query(url, f"SELECT * FROM {table}") for table in tables]

    async with open_engine(program) as engine, open_engine(program) as other:
        handle = await engine.start(program, 1, key="k")
        await handle.result()
        before = everything()
        for each in (engine, other):
            with pytest.raises(ExecutionTerminal, match="completed"):
                await each.cancel(handle.id)
            with pytest.raises(ExecutionTerminal, match="completed"):
                await each.resume(handle.id)
            with pytest.raises(ExecutionError, match="completed and not blocked"):
                await each.settle(handle.id, "1", ran=False)
            assert await (await each.start(program, 1, key="k")).result() == OURS
        assert everything() == before
