"""What is shown of an execution whose entries were folded: the ranges, and all that is in them."""

from __future__ import annotations

from contextlib import suppress

from durable_core import DurableConfig, DurableContext, step
from durable_core.engine.examination import examine
from durable_core.engine.inspection import open_journal
from durable_core.errors import StepFailed
from durable_core.ids import ExecutionId
from durable_core.model.entries import EntryKind, FoldedRow
from tests.engines import OpenEngine
from tests.journals import path_of, query
from tests.programs import version

LENGTHS = "SELECT entry_kind, length(payload) FROM durable_journal ORDER BY entry_no"


@step
async def echo(value: str) -> str:
    return value


@step
async def fail(value: str) -> str:
    raise ValueError(value)


async def body(ctx: DurableContext) -> str:
    await ctx.step(echo, "one")
    with suppress(StepFailed):
        await ctx.step(fail, "two")
    await ctx.checkpoint()
    return await ctx.step(echo, "three")


async def run(open_engine: OpenEngine) -> ExecutionId:
    """1: the start, 2 and 3: folded, 4: a result, 5: the end."""
    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        assert await handle.result() == "three"
        return handle.id


async def test_the_range_is_shown_in_front_of_what_is_in_it(
    open_engine: OpenEngine, url: str, key: str
) -> None:
    execution_id = await run(open_engine)
    async with open_journal(url, DurableConfig(), key) as journal:
        seen = await journal.execution(execution_id)
        entries = await journal.entries(seen, reveal=True)
    shown = [(one.row.entry_no, one.row.entry_kind, one.step_name) for one in entries]
    assert shown == [
        (1, EntryKind.EXECUTION_STARTED, None),
        (3, EntryKind.CHECKPOINT, "entries 2 to 3"),
        (2, EntryKind.STEP_RESULT, "echo"),
        (3, EntryKind.STEP_FAILED, "fail"),
        (4, EntryKind.STEP_RESULT, "echo"),
        (5, EntryKind.EXECUTION_FINISHED, None),
    ]
    assert [isinstance(one.row, FoldedRow) for one in entries[1:4]] == [False, True, True]
    assert entries[1].payload is None, "its entries follow"
    values = [None if one.payload is None else one.payload.value for one in entries[2:5]]
    assert values[0] == "one"
    assert values[2] == "three"
    assert "two" in repr(values[1])


async def test_without_the_key_the_range_is_shown_alone(open_engine: OpenEngine, url: str) -> None:
    execution_id = await run(open_engine)
    async with open_journal(url, DurableConfig(), key_optional=True) as journal:
        entries = await journal.entries(await journal.execution(execution_id))
    shown = [(one.row.entry_no, one.step_name) for one in entries]
    assert shown == [(1, None), (3, "entries 2 to 3"), (4, "echo"), (5, None)]


async def test_bytes_are_counted_where_they_lie(
    open_engine: OpenEngine, url: str, key: str
) -> None:
    execution_id = await run(open_engine)
    async with open_journal(url, DurableConfig(), key) as journal:
        found = await examine(journal, await journal.execution(execution_id))
    counted = {one.kind: (one.entries, one.payload_bytes) for one in found.kinds}
    stored = dict(query(path_of(url), LENGTHS))
    assert counted[EntryKind.CHECKPOINT] == (1, stored[EntryKind.CHECKPOINT])
    assert counted[EntryKind.STEP_RESULT] == (2, stored[EntryKind.STEP_RESULT])
    assert counted[EntryKind.STEP_FAILED] == (1, 0)
    assert [(one.row.entry_no, one.error_type) for one in found.failed_steps] == [(3, "ValueError")]
    assert found.payload_bytes == sum(stored.values())


async def test_inv_16_verify_counts_what_was_folded(open_engine: OpenEngine) -> None:
    execution_id = await run(open_engine)
    async with open_engine(version(body)) as engine:
        report = await engine.verify(execution_id)
    assert (report.executions, report.entries) == (1, 5)
