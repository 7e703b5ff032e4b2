"""A damaged row among those that are replayed: the run ends, and nothing of it enters user code.

In each of the ways in which a recorded result comes to the program: one after the other, in a
branch, gathered; and for both kinds of damage: what the chain shows when the row is read, and what
shows only when its payload is opened, in the instant in which the step asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from durable_core import DurableConfig, DurableContext, DurableEngine, step
from durable_core.errors import DecodeError, DurableError, IntegrityError
from durable_core.ids import ExecutionId, StepId
from durable_core.model.entries import JournalRow, StepResult
from durable_core.model.execution import Status
from tests.journals import change, sqlite_url
from tests.programs import Body, Stage, version
from tests.tampering import KEYS, edited

STEPS = 4
UNKNOWN_OUTCOME = b"\x09\x00"


class Line:
    """Steps one after the other, with a refund for whatever goes wrong."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.seen: list[int] = []
        self.caught: list[str] = []

        @step(name="work")
        async def work(number: int) -> int:
            self.calls.append(number)
            return number

        self.work = work

    async def run(self, ctx: DurableContext) -> None:
        try:
            for number in range(STEPS):
                self.seen.append(await ctx.step(self.work, number))
        except Exception as error:
            self.caught.append(type(error).__name__)
            raise


def one_after_the_other(line: Line) -> Body:
    return line.run


def in_a_branch(line: Line) -> Body:
    async def body(ctx: DurableContext) -> None:
        async with ctx.parallel() as group:
            group.start(line.run)

    return body


def gathered(line: Line) -> Body:
    async def body(ctx: DurableContext) -> None:
        try:
            numbers = (ctx.step(line.work, number) for number in range(STEPS))
            line.seen += await asyncio.gather(*numbers)
        except Exception as error:
            line.caught.append(type(error).__name__)
            raise

    return body


async def edited_payload(path: Path, execution_id: ExecutionId) -> None:
    edited("payload", "CAST(payload || x'00' AS BLOB)", -1)(path, execution_id.bytes)


async def wrong_mac(path: Path, execution_id: ExecutionId) -> None:
    edited("hmac", "zeroblob(32)", -1)(path, execution_id.bytes)


async def unreadable(path: Path, execution_id: ExecutionId) -> None:
    """Sealed, stamped and anchored as a writer would, but with what no writer puts into it."""
    async with DurableEngine.open(sqlite_url(path), keys=KEYS, recover=False) as engine:
        (row,) = await engine.parts.backend.heads([execution_id.bytes])
        envelope = engine.parts.wire.verified(row)
        rows = await engine.parts.backend.journal.read_execution(execution_id.bytes)
    last, before = rows[-1], rows[-2].hmac or b""
    made = envelope.row_of(_entry_of(last, execution_id), last.entry_no, before, last.created_at)
    anchor = envelope.anchor(Status.RUNNING, 0, row.entry_count, made.hmac or b"")
    columns = "UPDATE durable_journal SET payload = ?, hmac = ? WHERE execution_id = ?"
    place = (execution_id.bytes, last.entry_no)
    assert change(path, f"{columns} AND entry_no = ?", made.payload, made.hmac, *place) == 1
    record = "UPDATE durable_executions SET head_hmac = ?, anchor_mac = ? WHERE execution_id = ?"
    assert change(path, record, made.hmac, anchor, execution_id.bytes) == 1


def _entry_of(row: JournalRow, execution_id: ExecutionId) -> StepResult:
    identity = (row.fingerprint or b"", row.idem_key or b"", row.effect_class)
    place = (execution_id, row.generation, StepId(row.step_id))
    return StepResult(*place, *identity, UNKNOWN_OUTCOME, row.detail)


@pytest.mark.parametrize("shape", [one_after_the_other, in_a_branch, gathered])
@pytest.mark.parametrize(
    ("damage", "expected"),
    [(edited_payload, IntegrityError), (wrong_mac, IntegrityError), (unreadable, DecodeError)],
)
async def test_ec_26_a_damaged_result_ends_the_run_and_enters_no_user_code(
    tmp_path: Path,
    shape: Callable[[Line], Body],
    damage: Callable[[Path, ExecutionId], Any],
    expected: type[DurableError],
) -> None:
    path, stage, line = tmp_path / "journal.db", Stage(), Line()
    body = shape(line)

    async def stays(ctx: DurableContext) -> None:
        await body(ctx)
        await stage.pause()

    program = version(stays)
    config = DurableConfig(replay_segment=2)
    url = sqlite_url(path)
    async with DurableEngine.open(url, workflows=[program], keys=KEYS, config=config) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    assert line.seen == sorted(line.calls) == list(range(STEPS))
    line.seen.clear()
    line.calls.clear()
    await damage(path, handle.id)
    stage.gate.set()
    async with DurableEngine.open(url, workflows=[program], keys=KEYS, config=config) as engine:
        with pytest.raises(expected):
            await (await engine.get(handle.id)).result()
        assert await (await engine.get(handle.id)).status() is Status.RUNNING
    assert (line.caught, line.calls) == ([], [])
    # What stands before is replayed, where it is not seen together with what is damaged.
    assert line.seen == ([] if shape is gathered else list(range(STEPS - 1)))
