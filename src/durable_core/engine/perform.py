"""The way of one step: look it up, replay it or run it, journal it (INV-3, INV-10).

Guarded steps take the longer way of `guarded.py`. Every failure of the engine itself ends the run
here instead of reaching the workflow (INV-21).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from durable_core.engine.call import StepCall
from durable_core.engine.guarded import perform_guarded
from durable_core.engine.invoke import Returned, attempt_all
from durable_core.engine.outcome import STEP_CANCELLED, Failure
from durable_core.engine.recorded import replay, take_over
from durable_core.errors import JournalError, StepFailed
from durable_core.model.entries import Outcome
from durable_core.replay.lookup import Found, Fresh, Recorded
from durable_core.telemetry import SpanName

if TYPE_CHECKING:
    from durable_core.engine.run import Run

__all__ = ["perform"]


async def perform(run: Run, call: StepCall) -> object:
    """The value of the step. Raises `StepFailed` into the workflow, and cancellation."""
    run.entered(call)
    try:
        return await _perform(run, call)
    except StepFailed:
        raise
    except Exception as error:  # noqa: BLE001 - the engine's own failures stay out of user code
        return await run.halt(error)
    finally:
        run.left(call)


async def _perform(run: Run, call: StepCall) -> object:
    if run.ended:
        await run.halted()
    found, cancelled = await _look_up(run, call)
    with run.parts.tracing.span(SpanName.STEP_RUN, run.span_attributes(call, found)):
        if isinstance(found, Recorded):
            run.parts.metrics.record("durable.engine.steps_replayed", 1)
            return await replay(run, call, found.row)
        run.parts.metrics.record("durable.engine.steps", 1)
        if cancelled:
            await run.journal(call.failure(_CANCELLED))
            raise asyncio.CancelledError
        if call.descriptor.guarded:
            return await perform_guarded(run, call, found)
        if not isinstance(found, Fresh):
            message = f"step {call.step_id} is not guarded and has an intent"
            raise JournalError(message)
        return await _perform_plain(run, call)


_CANCELLED = Failure(STEP_CANCELLED, "cancelled by the workflow", 1).encode()


async def _look_up(run: Run, call: StepCall) -> tuple[Found, bool]:
    """The journal's answer, and whether the workflow cancelled the step meanwhile.

    A look-up is finished despite a cancellation: what is journaled decides the branch.
    """
    found = run.cursor.answer(call.wanted)
    if found is not None:
        return found, False
    task = asyncio.ensure_future(run.cursor.look_up(call.wanted))
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            if run.ended:
                task.cancel()
                raise
            cancelled = True
    return task.result(), cancelled


async def _perform_plain(run: Run, call: StepCall) -> object:
    taken = run.cursor.prior.claim(call.idem_key)
    if taken is not None:
        entry, value = take_over(run, call, taken)
        await run.journal(entry)
        return value
    run.commit_prompt_results()
    try:
        attempted = await attempt_all(run.parts, call)
    except asyncio.CancelledError:
        if not run.ended:
            await run.journal(call.failure(_CANCELLED))
        raise
    run.parts.failpoints.reach("engine.result.before")
    if isinstance(attempted, Returned):
        await run.journal(call.result(bytes((Outcome.VALUE,)) + attempted.encoded))
        run.parts.failpoints.reach("engine.result.after")
        return attempted.value
    failure = run.parts.failure_of(attempted.error, attempted.attempts)
    await run.journal(call.failure(failure.encode()))
    run.parts.failpoints.reach("engine.result.after")
    raise failure.of_step(call.descriptor.name) from attempted.error
