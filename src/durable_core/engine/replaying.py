"""The short way of a replayed step: its result is at hand, and nothing goes on beside it (INV-10).

Such a step is answered in the instant in which it is awaited, so nobody sees it under way. What is
not as simple, and whatever is wrong with the journal, is left to the long way of `perform.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from durable_core.engine.call import StepCall
from durable_core.engine.recorded import read_result

if TYPE_CHECKING:
    from durable_core.engine.run import Run

__all__ = ["NOT_AT_HAND", "NotAtHand", "result_at_hand"]


@frozen
class NotAtHand:
    """The short way does not lead there."""


NOT_AT_HAND: Final = NotAtHand()


def result_at_hand(run: Run, call: StepCall) -> object:
    """The recorded value of a step that is awaited now; `NOT_AT_HAND` where nothing was done.

    The row was verified when it was read; that it is one of exactly this step, and that its payload
    opens at this place, is looked at here as on the long way.
    """
    cursor, parts = run.cursor, run.parts
    if not run.activity.alone(call.step_id) or run.ended or not run.place.held:
        return NOT_AT_HAND
    row = cursor.result_at(call)
    if row is None or parts.tracing.recording:
        return NOT_AT_HAND
    try:
        value = read_result(run, call, cursor.open_payload(row))
    except Exception:  # noqa: BLE001 - the long way meets it again, and ends the run for it
        return NOT_AT_HAND
    cursor.consume(call.step_id)
    run.activity.answered_at_once(call.step_id)
    run.folding.settle(call.step_id)
    parts.metrics.record("durable.engine.steps_replayed", 1)
    return value
