"""A journal that an engine wrote, and the ways in which somebody else might change its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import define

from durable_core import (
    DurableConfig,
    DurableContext,
    DurableEngine,
    EffectClass,
    OnAmbiguous,
    step,
    workflow,
)
from durable_core.engine.definition import Workflow
from durable_core.ids import ExecutionId
from tests.journals import MASTER, OTHER_MASTER, change, key_text, query, sqlite_url
from tests.programs import Stage

RESULT: Final = "charged b, rendered e"

KEYS: Final = key_text((1, MASTER), (2, OTHER_MASTER))
"""Two keys, so that a row that names the other one meets an anchor and no missing key."""

ENTRIES: Final = 7
"""start · render · intent and result of charge · intent and result of charge · render"""

Tamper = Callable[[Path, bytes], None]
"""Changes something of the execution in the file."""


@define
class Written:
    """Three executions of one program: one that ended, and two that were closed halfway."""

    program: Workflow[..., Any]
    path: Path
    stage: Stage
    completed: ExecutionId
    running: ExecutionId
    beside: ExecutionId

    @property
    def steps_called(self) -> list[str]:
        """What the functions of steps were called with, over all runs."""
        return list(self.stage.calls)


async def write(path: Path, keys: str | None = KEYS, **settings: Any) -> Written:
    """Write a new journal with an engine of those `settings`, and close it."""
    stage = Stage()

    @step
    async def render(what: str) -> str:
        stage.calls.append(what)
        return f"rendered {what}"

    @step(effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.RERUN)
    async def charge(what: str) -> str:
        stage.calls.append(what)
        return f"charged {what}"

    @workflow(name="program")
    async def program(ctx: DurableContext, *, to_the_end: bool) -> str:
        await ctx.step(render, "a")
        first = await ctx.step(charge, "b")
        await ctx.step(charge, "c")
        await ctx.step(render, "d")
        if not (to_the_end or stage.gate.is_set()):
            await stage.pause()
        return f"{first}, {await ctx.step(render, 'e')}"

    async with DurableEngine.open(
        sqlite_url(path),
        workflows=[program],
        config=DurableConfig(**settings),
        keys=keys,
    ) as engine:
        completed = await engine.start(program, to_the_end=True, key="order-1")
        assert await completed.result() == RESULT
        halfway = []
        for key in ("order-2", "order-3"):
            stage.reached.clear()
            halfway.append(await engine.start(program, to_the_end=False, key=key))
            await stage.reached.wait()
        await engine.flush()
    stage.gate.set()
    return Written(program, path, stage, completed.id, halfway[0].id, halfway[1].id)


@workflow(name="other")
async def other(_ctx: DurableContext, *, to_the_end: bool) -> bool:
    """What a record may be made to name instead of its own workflow."""
    return to_the_end


def journal_of(path: Path) -> list[tuple[Any, ...]]:
    """Every row, less what a claim may change."""
    columns = "execution_id, status, generation, entry_count, head_hmac, anchor_mac"
    return [
        *query(path, "SELECT * FROM durable_journal ORDER BY seq"),
        *query(path, f"SELECT {columns} FROM durable_executions ORDER BY execution_id"),
    ]


def rows_of(path: Path, execution_id: bytes) -> int:
    """How many rows the execution has."""
    statement = "SELECT count(*) FROM durable_journal WHERE execution_id = ?"
    return int(query(path, statement, execution_id)[0][0])


def _last(path: Path, execution_id: bytes) -> int:
    statement = "SELECT max(entry_no) FROM durable_journal WHERE execution_id = ?"
    return int(query(path, statement, execution_id)[0][0])


def deleted(entry_no: int, count: int = 1) -> Tamper:
    """Rows are gone; a negative number counts from the end."""

    def tamper(path: Path, execution_id: bytes) -> None:
        first = entry_no if entry_no > 0 else _last(path, execution_id) + 1 + entry_no
        statement = (
            "DELETE FROM durable_journal WHERE execution_id = ? AND entry_no BETWEEN ? AND ?"
        )
        assert change(path, statement, execution_id, first, first + count - 1) == count

    return tamper


def closed_up(entry_no: int) -> Tamper:
    """A row is gone and the later ones moved up, so that no number is missing."""

    def tamper(path: Path, execution_id: bytes) -> None:
        deleted(entry_no)(path, execution_id)
        for number in range(entry_no + 1, _last(path, execution_id) + 1):
            _move(path, execution_id, number, number - 1)
        change(
            path,
            "UPDATE durable_executions SET entry_count = entry_count - 1 WHERE execution_id = ?",
            execution_id,
        )

    return tamper


def inserted(entry_no: int | None) -> Tamper:
    """A copy of another row stands at `entry_no` (None: behind the last); later rows moved down."""

    def tamper(path: Path, execution_id: bytes) -> None:
        last = _last(path, execution_id)
        place = last + 1 if entry_no is None else entry_no
        for number in range(last, place - 1, -1):
            _move(path, execution_id, number, number + 1)
        copied = next(number for number in (2, 3) if number != place)
        statement = """
            INSERT INTO durable_journal
            SELECT NULL, execution_id, ?, generation, 'forged', entry_kind, fingerprint, idem_key,
                   effect_class, detail, payload, payload_version, hmac, created_at
            FROM durable_journal WHERE execution_id = ? AND entry_no = ?
        """
        assert change(path, statement, place, execution_id, copied) == 1

    return tamper


def swapped(first: int, second: int) -> Tamper:
    """Two rows have changed places."""

    def tamper(path: Path, execution_id: bytes) -> None:
        _move(path, execution_id, first, 999)
        _move(path, execution_id, second, first)
        _move(path, execution_id, 999, second)

    return tamper


def _move(path: Path, execution_id: bytes, number: int, to: int) -> None:
    statement = "UPDATE durable_journal SET entry_no = ? WHERE execution_id = ? AND entry_no = ?"
    assert change(path, statement, to, execution_id, number) == 1


def edited(column: str, expression: str, entry_no: int) -> Tamper:
    """One column of one row has another value; a negative number counts from the end."""

    def tamper(path: Path, execution_id: bytes) -> None:
        number = entry_no if entry_no > 0 else _last(path, execution_id) + 1 + entry_no
        statement = (
            f"UPDATE durable_journal SET {column} = {expression} "
            "WHERE execution_id = ? AND entry_no = ?"
        )
        assert change(path, statement, execution_id, number) == 1

    return tamper


def record(column: str, expression: str) -> Tamper:
    """One column of the execution's own row has another value."""

    def tamper(path: Path, execution_id: bytes) -> None:
        statement = f"UPDATE durable_executions SET {column} = {expression} WHERE execution_id = ?"
        assert change(path, statement, execution_id) == 1

    return tamper
