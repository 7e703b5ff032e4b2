"""The way of one step: look it up, replay it or run it, journal it (INV-3, INV-10).

Guarded steps take the longer way of `guarded.py`. Every failure of the engine itself ends the run
here instead of reaching the workflow (INV-21).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from durable_core.engine.call import StepCall
from durable_core.engine.eager import cancel_requests
from durable_core.engine.guarded import announce_and_call, perform_guarded
from durable_core.engine.invoke import (
    NotCalled,
    Returned,
    TimedOut,
    attempt_all,
)
from durable_core.engine.outcome import CANCELLED, VALUE
from durable_core.engine.recorded import replay, take_over
from durable_core.engine.replaying import (
    NOT_AT_HAND,
    recorded_result,
    result_at_hand,
    turn_of,
)
from durable_core.engine.sequence import LAST
from durable_core.errors import JournalError, StepFailed
from durable_core.replay.lookup import FRESH, Found, Recorded, Wanted
from durable_core.telemetry import SpanName

if TYPE_CHECKING:
    from durable_core.engine.run import Run

__all__ = ["WaitedTooLong", "begin_together", "called", "called_or", "look_up", "perform"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class WaitedTooLong(TimeoutError):
    """What the workflow sees where a wait ended by its timer, live and replayed alike."""


def perform(
    run: Run, call: StepCall, task: asyncio.Task[Any] | None
) -> Coroutine[Any, Any, object]:
    """The coroutine of a step that the current `task` calls, known to the run from now on.

    It raises `StepFailed` into the workflow, and cancellation.
    """
    if not (run.caught_up or run.cursor.unconsumed):
        run.catch_up()
    live = run.caught_up
    coroutine = _within(run, call.step_id, _perform, call) if live else _replay(run, call)
    run.activity.called(call.step_id, coroutine, task)
    return coroutine


def called(
    run: Run,
    step_id: str,
    work: Callable[[Run, *Ts], Coroutine[Any, Any, T]],
    *args: *Ts,
) -> Coroutine[Any, Any, T]:
    """The coroutine of what the workflow calls at `step_id`, known to the run from now on."""
    coroutine = _within(run, step_id, work, *args)
    run.activity.called(step_id, coroutine, asyncio.current_task())
    return coroutine


def called_or(
    run: Run,
    step_id: str,
    at_hand: Callable[[], object],
    work: Callable[[Run, *Ts], Coroutine[Any, Any, Any]],
    *args: *Ts,
) -> Coroutine[Any, Any, Any]:
    """As `called`, of what the journal may hold: `work` where `at_hand()` is `NOT_AT_HAND`."""
    if run.caught_up:
        return called(run, step_id, work, *args)
    coroutine = _at_hand_or(run, step_id, at_hand, work, *args)
    run.activity.called(step_id, coroutine, asyncio.current_task())
    return coroutine


async def _at_hand_or(
    run: Run,
    step_id: str,
    at_hand: Callable[[], object],
    work: Callable[[Run, *Ts], Coroutine[Any, Any, Any]],
    *args: *Ts,
) -> object:
    value = at_hand()
    if value is not NOT_AT_HAND:
        return value
    return await _within(run, step_id, work, *args)


async def _within(
    run: Run,
    step_id: str,
    work: Callable[[Run, *Ts], Coroutine[Any, Any, T]],
    *args: *Ts,
) -> T:
    """`work` as something that the workflow does at `step_id`, ended with its run."""
    task = asyncio.current_task(run.loop)
    requests = run.activity.entered(step_id, task)
    try:
        if run.ended or not run.place.held:
            await run.going_on()
        result = await work(run, *args)
    except (StepFailed, WaitedTooLong):
        if cancel_requests(task) > requests:
            run.activity.outlasted(task)
        raise
    except Exception as error:  # noqa: BLE001 - the engine's own failures stay out of user code
        return await run.halt(error)
    except asyncio.CancelledError:
        if run.ended:
            await run.halted()
        raise
    else:
        if cancel_requests(task) > requests:
            run.activity.outlasted(task)
        return result
    finally:
        run.unsettled, run.ready_before = False, len(run.ready)
        run.activity.left(step_id)
        run.folding.settle(step_id)
        if run.place.waits:
            run.place.rest(run.activity.under_way)


async def _replay(run: Run, call: StepCall) -> object:
    value = result_at_hand(run, call)
    if value is not NOT_AT_HAND:
        return value
    return await _within(run, call.step_id, _in_turn, call)


async def _in_turn(run: Run, call: StepCall) -> object:
    """As `_perform`, with fewer looks at what a recorded result in a branch goes by."""
    activity, cancelled = run.activity, False
    if not activity.steps_to_begin:
        turn = turn_of(run, call)
        while turn is not None:
            cancelled |= await activity.outlast_turn(turn)
            turn = turn_of(run, call) if turn.cancelled() else None
        value = recorded_result(run, call)
        if value is not NOT_AT_HAND:
            return value
    if cancelled:
        activity.doom(call.step_id)
    return await _perform(run, call)


def _perform(run: Run, call: StepCall) -> Coroutine[Any, Any, object]:
    """What performs the step that begins now: the short way where nothing stands in it."""
    if not run.activity.unhindered or run.parts.tracing.recording:
        return _look_and_perform(run, call)
    run.parts.metrics.record("durable.engine.steps", 1)
    if call.spec.descriptor.guarded:
        return announce_and_call(run, call, cancelled=False)
    return _call_plain(run, call)


async def _look_and_perform(run: Run, call: StepCall) -> object:
    found, cancelled = await look_up(run, call)
    parts = run.parts
    with parts.tracing.span_of(SpanName.STEP_RUN, run.span_attributes, call, found):
        if isinstance(found, Recorded):
            parts.metrics.record("durable.engine.steps_replayed", 1)
            return await replay(run, call, found.row, cancelled=cancelled)
        parts.metrics.record("durable.engine.steps", 1)
        if run.folding.full:
            _, cancelled_too = await run.activity.outlast_read(run.folding.make_room())
            cancelled |= cancelled_too
        if not parts.standing.held:
            _, cancelled_too = await run.activity.outlast_read(parts.standing.regained())
            cancelled |= cancelled_too
        if call.descriptor.guarded:
            return await perform_guarded(run, call, found, cancelled=cancelled)
        if found is not FRESH:
            message = f"step {call.step_id} is not guarded and has an intent"
            raise JournalError(message)
        return await _perform_plain(run, call, cancelled=cancelled)


async def begin_together(run: Run) -> bool:
    """Let all that was called at the same time begin; whether the workflow cancelled meanwhile."""
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        if run.ended:
            raise
        return True
    return False


async def look_up(run: Run, wanted: Wanted) -> tuple[Found, bool]:
    """The journal's answer, and whether the workflow cancelled the step meanwhile.

    A look-up is finished despite a cancellation: what is journaled decides the branch. Where
    several steps are asked for at the same time, all of them begin before one is answered, and
    they are answered in the order of the journal.
    """
    cancelled = run.activity.is_doomed(wanted.step_id)
    if run.activity.steps_to_begin:
        cancelled |= await begin_together(run)
    at_once = run.cursor.answer(wanted)
    if at_once is None:
        found, cancelled_too = await run.activity.outlast_look_up(wanted)
        cancelled |= cancelled_too
    else:
        found = at_once
    recorded = isinstance(found, Recorded)
    if recorded or (run.activity.concurrent and (run.sequence.busy or run.cursor.replaying)):
        place = found.row.entry_no if isinstance(found, Recorded) else LAST
        cancelled |= await run.told(place)
    return found, cancelled


async def _perform_plain(run: Run, call: StepCall, *, cancelled: bool) -> object:
    taken = run.cursor.prior.claim(call.idem_key)
    if taken is not None:
        entry, value = take_over(run, call, taken)
        await run.complete(entry)
        return value
    if cancelled:
        await run.complete(call.failure(CANCELLED.encode()))
        raise asyncio.CancelledError
    return await _call_plain(run, call)


async def _call_plain(run: Run, call: StepCall) -> object:
    """Call the function and journal what comes of it."""
    if run.prompt_upto:
        run.commit_prompt_results()
    try:
        attempted = await attempt_all(run, call)
    except asyncio.CancelledError:
        if not run.ended:
            await run.complete(call.failure(CANCELLED.encode()))
        raise
    if run.ended:
        await run.halted()
    traps = run.parts.failpoints
    if traps.armed:
        traps.reach("engine.result.before")
    match attempted:
        case Returned():
            waiting = run.completing(call.result(VALUE + attempted.encoded))
            if waiting is not None:
                await waiting
            if traps.armed:
                traps.reach("engine.result.after")
            return attempted.value
        case NotCalled() | TimedOut():
            message = f"step {call.step_id} is not guarded and was given up"
            raise JournalError(message)
        case failed:
            await run.complete(call.failure(failed.failure.encode()))
            traps.reach("engine.result.after")
            raise failed.failure.of_step(call.descriptor.name) from failed.error
