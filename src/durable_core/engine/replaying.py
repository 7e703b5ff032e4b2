"""The short way of a replayed step or wait whose answer is at hand (INV-10).

Where it is next in the order of the journal it is answered in the instant in which it is awaited,
so nobody sees it under way; else when its turn comes. What is not as simple is left to the long way
of `perform.py`, and whatever is wrong with the journal ends the run there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from durable_core.engine.call import StepCall
from durable_core.engine.recorded import read_result
from durable_core.errors import DecodeError
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.replay.lookup import Wanted

if TYPE_CHECKING:
    from durable_core.engine.promise import Cell
    from durable_core.engine.run import Run
    from durable_core.engine.sequence import Turn

__all__ = [
    "NOT_AT_HAND",
    "NotAtHand",
    "closed_at_hand",
    "recorded_result",
    "resolved_at_hand",
    "result_at_hand",
    "turn_of",
]


_FAILED: Final = int(EntryKind.STEP_FAILED)


@frozen
class NotAtHand:
    """The short way does not lead there."""


NOT_AT_HAND: Final = NotAtHand()


def result_at_hand(run: Run, call: StepCall) -> object:
    """The recorded value of a step that is awaited now; `NOT_AT_HAND` where nothing was done.

    The row was verified when it was read; that it is one of exactly this step is looked at here.
    """
    cursor, activity, step_id = run.cursor, run.activity, call.step_id
    row = cursor.result_at(call)
    if row is None or not activity.may_answer(step_id, row.entry_no) or run.parts.tracing.recording:
        return NOT_AT_HAND
    try:
        value = read_result(run, call, cursor.open_payload(row))
    except Exception:  # noqa: BLE001 - the long way meets it again, and ends the run for it
        return NOT_AT_HAND
    cursor.consume(step_id)
    activity.answered_at_once(step_id)
    run.folding.settle(step_id)
    run.parts.metrics.record("durable.engine.steps_replayed", 1)
    return value


def closed_at_hand(run: Run, wanted: Wanted) -> JournalRow | None:
    """What closes something that is awaited now and is no step; None where nothing was done.

    Nor where the workflow had cancelled it.
    """
    step_id = wanted.step_id
    row = run.cursor.closing(step_id)
    if (
        row is None
        or row.entry_kind == _FAILED
        or not run.activity.may_answer(step_id, row.entry_no)
    ):
        return None
    try:
        fits = wanted.is_at(row)
    except DecodeError:
        return None
    if not fits:
        return None
    run.cursor.consume(step_id)
    run.activity.answered_at_once(step_id)
    run.folding.settle(step_id)
    return row


def resolved_at_hand(run: Run, step_id: str, cell: Cell) -> object:
    """What a promise that is awaited now was resolved with; `NOT_AT_HAND` where nothing was done.

    The place of the wait holds nothing then that could stand in front of the resolution.
    """
    cursor, activity = run.cursor, run.activity
    row = cursor.resolution(cell.promise_id)
    if (
        row is None
        or step_id in cursor.unconsumed
        or not activity.may_answer(step_id, row.entry_no)
    ):
        return NOT_AT_HAND
    try:
        value = cell.read(run, cursor.open_payload(row))
    except Exception:  # noqa: BLE001 - the long way meets it again, and tells it
        return NOT_AT_HAND
    activity.answered_at_once(step_id)
    run.folding.settle(step_id)
    return value


def turn_of(run: Run, call: StepCall) -> Turn | None:
    """What a step that has begun waits for until its recorded result may be told; None: nothing."""
    row = run.cursor.result_at(call)
    if row is not None:
        at_once = run.parts.tracing.recording or run.is_turn_of(row.entry_no)
        return None if at_once else run.sequence.turn(row.entry_no)
    return run.arrivals.turn(call.step_id) if run.cursor.unread(call.step_id) else None


def recorded_result(run: Run, call: StepCall) -> object:
    """The recorded value of a step whose turn has come; `NOT_AT_HAND` without one."""
    row = run.cursor.result_at(call)
    if row is None or run.parts.tracing.recording:
        return NOT_AT_HAND
    run.cursor.consume(call.step_id)
    run.parts.metrics.record("durable.engine.steps_replayed", 1)
    return read_result(run, call, run.cursor.open_payload(row))
