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

__all__ = ["NOT_AT_HAND", "NotAtHand", "recorded_result", "result_at_hand"]


@frozen
class NotAtHand:
    """The short way does not lead there."""


NOT_AT_HAND: Final = NotAtHand()


def result_at_hand(run: Run, call: StepCall) -> object:
    """The recorded value of a step that is awaited now; `NOT_AT_HAND` where nothing was done.

    The row was verified when it was read; that it is one of exactly this step, and that its payload
    opens at this place, is looked at here.
    """
    cursor, activity = run.cursor, run.activity
    if not activity.begins_alone(call.step_id) or run.ended or not run.place.held:
        return NOT_AT_HAND
    row = cursor.result_at(call)
    if row is None or not activity.is_next(row.entry_no) or run.parts.tracing.recording:
        return NOT_AT_HAND
    try:
        value = read_result(run, call, cursor.open_payload(row))
    except Exception:  # noqa: BLE001 - the long way meets it again, and ends the run for it
        return NOT_AT_HAND
    cursor.consume(call.step_id)
    activity.answered_at_once(call.step_id)
    run.folding.settle(call.step_id)
    run.parts.metrics.record("durable.engine.steps_replayed", 1)
    return value


async def recorded_result(run: Run, call: StepCall, *, told: bool) -> object:
    """The recorded value of a step that is under way, in its turn; `NOT_AT_HAND` without one.

    `told` says that its turn has come.
    """
    row = run.cursor.result_at(call)
    if row is None or run.parts.tracing.recording:
        return NOT_AT_HAND
    run.cursor.consume(call.step_id)
    if not told:
        await run.told(row.entry_no)
    run.parts.metrics.record("durable.engine.steps_replayed", 1)
    return read_result(run, call, run.cursor.open_payload(row))
