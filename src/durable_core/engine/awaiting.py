"""`ctx.await_promise`: the value of a promise, or that it did not come in time.

What stands first in the journal decides: the resolution, or the end of the wait by its timer or by
the workflow. Live, that is the order in which they were handed to the writer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from durable_core.engine.cells import recall
from durable_core.engine.perform import WaitedTooLong, begin_together, called_or
from durable_core.engine.promise import Cell, DurablePromise
from durable_core.engine.recorded import cancelled_again
from durable_core.engine.replaying import NOT_AT_HAND, resolved_at_hand
from durable_core.engine.sleeping import Wait
from durable_core.errors import ConfigError
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.replay.lookup import Armed, Found, Recorded

if TYPE_CHECKING:
    from durable_core.engine.run import Run

__all__ = ["AWAIT", "await_promise", "wait_for"]

AWAIT: Final = "durable.await_promise"


def await_promise(
    run: Run, promise: DurablePromise[Any], delay_ms: int | None
) -> Coroutine[Any, Any, Any]:
    """Take a place now; the coroutine waits, at most `delay_ms` from when it begins."""
    cell = None
    if isinstance(promise, DurablePromise):
        cell = _cell_of(run, promise)
    if cell is None:
        message = (
            "a workflow waits for a promise that it has made itself, by `await ctx.promise(...)`"
        )
        raise ConfigError(message)
    return wait_for(run, Wait.take(run, AWAIT), cell, delay_ms)


def _cell_of(run: Run, promise: DurablePromise[Any]) -> Cell | None:
    cells, promise_id = run.cells, promise.id.bytes
    cell = cells.get(promise_id)
    if cell is None and cells.was_let_go(promise_id):
        cell = Cell(promise_id, promise.name, cells.kind_of(promise_id), again=True)
        cells.add(cell)
    return cell


def wait_for(
    run: Run,
    wait: Wait,
    cell: Cell,
    delay_ms: int | None,
    given_up: Callable[[], None] = lambda: None,
) -> Coroutine[Any, Any, Any]:
    """The coroutine that waits at a place that was taken; `given_up()` where nothing came."""
    cell.waits += 1
    step_id = wait.wanted.step_id
    at_hand = partial(_at_hand, run, step_id, cell)
    return called_or(run, step_id, at_hand, _await, wait, cell, delay_ms, given_up)


def _at_hand(run: Run, step_id: str, cell: Cell) -> object:
    value = resolved_at_hand(run, step_id, cell)
    if value is not NOT_AT_HAND:
        cell.waits -= 1
        cell.told(run)
    return value


async def _await(
    run: Run, wait: Wait, cell: Cell, delay_ms: int | None, given_up: Callable[[], None]
) -> object:
    try:
        payload = await _payload(run, wait, cell, delay_ms)
    except (WaitedTooLong, asyncio.CancelledError):
        given_up()
        raise
    finally:
        cell.waits -= 1
    cell.told(run)
    return cell.read(run, payload)


async def _payload(run: Run, wait: Wait, cell: Cell, delay_ms: int | None) -> bytes:
    cancelled = run.activity.is_doomed(wait.wanted.step_id)
    if run.activity.steps_to_begin:
        cancelled |= await begin_together(run)
    if cell.entry_no is None and cell.again:
        _, cancelled_too = await run.activity.outlast_read(recall(run, cell))
        cancelled |= cancelled_too
    found, row, cancelled_too = await _recorded(run, wait, cell)
    cancelled |= cancelled_too
    if row is not None:
        await run.told(row.entry_no)
        return run.cursor.open_payload(row)
    if isinstance(found, Recorded):
        cancelled |= await run.told(found.row.entry_no)
        if found.row.entry_kind == EntryKind.STEP_FAILED:
            await cancelled_again(cancelled=cancelled)
        raise WaitedTooLong
    if cell.entry_no is None:
        await _until_resolved(run, wait, cell, found, delay_ms, cancelled=cancelled)
    return await _resolution(run, cell)


async def _recorded(run: Run, wait: Wait, cell: Cell) -> tuple[Found, JournalRow | None, bool]:
    """What the journal holds of the wait and, if that stands before, of the resolution."""
    cancelled = False
    while True:
        row = run.cursor.resolution(cell.promise_id)
        found = run.cursor.answer(wait.wanted)
        if row is not None and found is None:
            # Everything before the resolution was read: an end of the wait would stand there.
            found = run.cursor.drop(wait.wanted)
        if found is not None:
            first = isinstance(found, Recorded) and row and found.row.entry_no < row.entry_no
            return found, None if first else row, cancelled
        cancelled |= await run.activity.outlast_load()


async def _until_resolved(
    run: Run, wait: Wait, cell: Cell, found: Found, delay_ms: int | None, *, cancelled: bool
) -> None:
    """Return when a resolution is on its way; raises where the wait ended otherwise before."""
    cancelled |= await run.room()
    if cell.entry_no is not None:
        return  # an entry of this wait behind the resolution would be asked for by nobody
    if cancelled:
        await wait.note_cancelled(in_turn=True)
        raise asyncio.CancelledError
    timer = None
    try:
        if delay_ms is not None or isinstance(found, Armed):
            due_at = run.parts.clock.now_ms() + (delay_ms or 0)
            timer = await wait.arm(found, due_at, in_turn=True)
        run.commit_prompt_results()
        waiting = {cell.resolved} if timer is None else {cell.resolved, timer}
        async with run.waiting():
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        if not run.ended:
            await run.room()
        if cell.entry_no is None:
            await wait.note_cancelled(in_turn=True)
            raise
    finally:
        if timer is not None:
            timer.cancel()
    if run.ended:
        await run.halted()
    if await wait.fire_unless(lambda: cell.entry_no is not None):
        raise WaitedTooLong


async def _resolution(run: Run, cell: Cell) -> bytes:
    """The payload of a resolution that is on its way, or there."""
    await run.activity.outlast(cell.resolved)
    await run.told(cell.entry_no or 0)
    return cell.payload or b""
