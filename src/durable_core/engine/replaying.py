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
    from durable_core.model.entries import JournalRow

__all__ = ["NOT_AT_HAND", "NotAtHand", "result_at_hand", "result_in_turn", "row_at_hand"]


@frozen
class NotAtHand:
    """The short way does not lead there."""


NOT_AT_HAND: Final = NotAtHand()


def row_at_hand(run: Run, call: StepCall) -> JournalRow | None:
    """The verified `step_result` of exactly this step, which begins now; it stays unconsumed.

    None where it is not read yet, or the step does not begin by itself.
    """
    if not run.activity.begins_alone(call.step_id) or run.ended or not run.place.held:
        return None
    row = run.cursor.result_at(call.wanted)
    return None if row is None or run.parts.tracing.recording else row


def result_at_hand(run: Run, call: StepCall, row: JournalRow) -> object:
    """The recorded value of a step whose turn is now; `NOT_AT_HAND` where nothing was done.

    The row was verified when it was read; that its payload opens at this place is looked at here.
    """
    try:
        value = read_result(run, call, run.cursor.open_payload(row))
    except Exception:  # noqa: BLE001 - the long way meets it again, and ends the run for it
        return NOT_AT_HAND
    run.cursor.consume(call.step_id)
    run.activity.answered_at_once(call.step_id)
    run.folding.settle(call.step_id)
    run.parts.metrics.record("durable.engine.steps_replayed", 1)
    return value


async def result_in_turn(run: Run, call: StepCall, row: JournalRow) -> object:
    """The recorded value of a step that has begun, when its turn comes."""
    run.cursor.consume(call.step_id)
    await run.activity.outlast_turn(row.entry_no)
    run.parts.metrics.record("durable.engine.steps_replayed", 1)
    return read_result(run, call, run.cursor.open_payload(row))
