"""The short way of a replayed step whose result is at hand (INV-10).

Where it is next in the order of the journal it is answered in the instant in which it is awaited,
so nobody sees it under way; else when its turn comes. What is not as simple is left to the long way
of `perform.py`, and whatever is wrong with the journal ends the run there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from durable_core.engine.call import StepCall
from durable_core.engine.recorded import read_result

if TYPE_CHECKING:
    from durable_core.engine.run import Run
    from durable_core.engine.sequence import Turn

__all__ = ["NOT_AT_HAND", "NotAtHand", "recorded_result", "result_at_hand", "turn_of"]


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
