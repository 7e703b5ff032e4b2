"""What outsiders bring to a run: resolutions of its promises, and signals (EC-35, EC-36).

Each is journaled by the run that it is for; where there is none that can take it yet, it waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core.engine.promise import Cell
from durable_core.engine.receiving import deliver
from durable_core.errors import ExecutionLocked

if TYPE_CHECKING:
    from durable_core.engine.run import Run
    from durable_core.ids import ExecutionId

__all__ = ["check", "resolve", "signal", "takes", "takes_signals"]


def takes(run: Run | None, promise_id: bytes) -> bool:
    """Whether its program has made that promise here, and all that is journaled was read.

    Before that nobody knows whether the journal holds a resolution already: what was filed
    again, or too late, would be journaled as a second one.
    """
    if run is None or run.ended or promise_id not in run.cells:
        return False
    if run.cursor.exhausted or run.cells.was_let_go(promise_id):
        return True
    return run.cursor.resolution(promise_id) is not None


def takes_signals(run: Run | None) -> bool:
    """Whether all that is journaled was read, so that it is known which signal is the next."""
    return run is not None and not run.ended and run.cursor.exhausted


def check(run: Run | None, promise_id: bytes, payload: bytes) -> None:
    """`PayloadError` for a value of which its program says that it does not fit."""
    if run is not None and takes(run, promise_id):
        cells = run.cells
        cell = cells.get(promise_id) or Cell(promise_id, "", cells.kind_of(promise_id))
        cell.check(run, payload)


async def resolve(
    run: Run | None, execution_id: ExecutionId, promise_id: bytes, payload: bytes
) -> None:
    """Journal how one of its promises was resolved, unless that is journaled; then wake it.

    `ExecutionLocked` where its program has not made that promise here yet, and `PayloadError`
    for a value that does not fit what the program waits for; nothing is journaled then.
    """
    if run is None or not takes(run, promise_id):
        message = f"execution {execution_id} has not come to that promise here yet"
        raise ExecutionLocked(message)
    cell = run.cells.get(promise_id)
    if cell is not None and cell.entry_no is None and run.cursor.resolution(promise_id) is None:
        cell.check(run, payload)
        run.parts.failpoints.reach("engine.promise.resolving")
        await cell.resolve(run, payload)
        run.parts.failpoints.reach("engine.promise.resolved")


async def signal(
    run: Run | None, execution_id: ExecutionId, request_id: bytes, name: str, payload: bytes
) -> None:
    """Journal a signal as the next of its name; `ExecutionLocked` while it replays here."""
    if run is None or run.ended:
        message = f"execution {execution_id} takes no signals here yet"
        raise ExecutionLocked(message)
    await deliver(run, request_id, name, payload)
