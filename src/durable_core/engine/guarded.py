"""Guarded effects: intent, function, result, and what to do when the journal cannot tell.

Carries INV-13 (a committed effect is never fired again), INV-18 (no durable intent, no call) and
INV-20 (everything issued earlier is durable before the function is called; its own result is
enqueued prompt and shares the commit of the next intent).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from durable_core.engine.ambiguity import DECLINED, EXHAUSTED, Resolved, resolve
from durable_core.engine.call import StepCall
from durable_core.engine.invoke import Attempted, Returned, TimedOut, attempt_all
from durable_core.engine.outcome import STEP_CANCELLED, Failure
from durable_core.engine.recorded import read_result, read_settled, take_over
from durable_core.errors import AmbiguousEffect, DurableError, ReplayError
from durable_core.model.effects import OnAmbiguous
from durable_core.model.entries import (
    EntryKind,
    JournalRow,
    Outcome,
)
from durable_core.replay.detail import StepDetail
from durable_core.replay.lookup import Found, IntentOnly, Settled

if TYPE_CHECKING:
    from durable_core.engine.run import Run

__all__ = ["perform_guarded"]


async def perform_guarded(run: Run, call: StepCall, found: Found) -> object:
    """The value of a guarded step that has no closing entry in this generation."""
    match found:
        case IntentOnly(row):
            return await _meet_open_intent(run, call, row, fresh_run=False)
        case Settled(row):
            return await _meet_settled(run, call, row)
        case _:
            pass
    prior = run.cursor.prior.claim(call.idem_key)
    if prior is not None:
        return await _meet_prior(run, call, prior)
    unclaimed = run.cursor.prior.unclaimed_effect(call.descriptor.name)
    if unclaimed is not None:
        message = (
            f"step {call.step_id} {call.descriptor.name!r} of execution {run.execution_id} has "
            "other arguments than the effect of that name which an earlier run committed at step "
            f"{unclaimed.step_id}; it was not called. Settle it: it ran, with this value; or it "
            "did not run, then it is called with the new arguments"
        )
        run.blocking_intent = call.held_intent()
        raise AmbiguousEffect(message)
    return await _fire(run, call, announce=True)


async def _meet_prior(run: Run, call: StepCall, row: JournalRow) -> object:
    if row.entry_kind == EntryKind.EFFECT_INTENT:
        return await _meet_open_intent(run, call, row, fresh_run=True)
    settled = row.entry_kind == EntryKind.INTENT_SETTLED
    if settled and read_settled(run.cursor.open_payload(row)) is None:
        return await _fire(run, call, announce=True)
    entry, value = take_over(run, call, row)
    await run.journal(entry, prompt=True)
    return value


async def _meet_settled(run: Run, call: StepCall, row: JournalRow) -> object:
    encoded = read_settled(run.cursor.open_payload(row))
    if encoded is None:
        return await _fire(run, call, announce=True)
    payload = bytes((Outcome.SETTLED,)) + encoded
    value = read_result(run, call, payload)
    await run.journal(call.result(payload), prompt=True)
    return value


async def _meet_open_intent(
    run: Run,
    call: StepCall,
    row: JournalRow,
    *,
    fresh_run: bool,
) -> object:
    if fresh_run:
        run.blocking_intent = call.intent()
    held = StepDetail.decode(row.detail).policy == OnAmbiguous.FAIL
    resolved = await resolve(run, call, held=held)
    run.blocking_intent = None
    return await _follow(run, call, resolved, announce=fresh_run, first=1)


async def _follow(
    run: Run,
    call: StepCall,
    resolved: Resolved,
    *,
    announce: bool,
    first: int,
) -> object:
    if resolved is DECLINED:
        return await _fire(run, call, announce=announce, first=first)
    payload = bytes((resolved.outcome,)) + resolved.encoded
    await run.journal(call.result(payload), prompt=True)
    return read_result(run, call, payload)


async def _fire(run: Run, call: StepCall, *, announce: bool, first: int = 1) -> object:
    """Make the intent durable, then call the function, shielded from cancellation."""
    cancelled = await _make_durable(run, call, announce=announce)
    if cancelled:
        cancel = Failure(STEP_CANCELLED, "cancelled by the workflow", 1)
        await run.journal(call.failure(cancel.encode()), prompt=True)
        raise asyncio.CancelledError
    body = run.begin_effect(_call_and_journal(run, call, first))
    while not body.done():
        try:
            await asyncio.shield(body)
        except asyncio.CancelledError:
            if run.ended:
                raise
            # The effect has begun: its result is journaled and is what the step returns, now and
            # on every replay, so that both take the same branch.
    attempted = body.result()
    match attempted:
        case Returned(value=value):
            return value
        case Attempted(error=error, attempts=attempts):
            failure = run.parts.failure_of(error, attempts)
            raise failure.of_step(call.descriptor.name) from error
        case TimedOut():
            return await _after_time_out(run, call, attempted)


async def _after_time_out(run: Run, call: StepCall, cut: TimedOut) -> object:
    exhausted = cut.attempts >= call.descriptor.retry.attempts
    resolved = await resolve(run, call, exhausted=exhausted)
    if resolved is EXHAUSTED:
        failure = run.parts.failure_of(cut.error, cut.attempts)
        await run.journal(call.failure(failure.encode()), prompt=True)
        raise failure.of_step(call.descriptor.name) from cut.error
    if resolved is DECLINED and cut.thread is not None:
        # A thread cannot be cancelled: the next call must not run beside it.
        await asyncio.wait({cut.thread})
    return await _follow(run, call, resolved, announce=False, first=cut.attempts + 1)


async def _make_durable(run: Run, call: StepCall, *, announce: bool) -> bool:
    """Commit the intent with all that was issued before; whether the step was cancelled meanwhile.

    If the outcome of the commit is unknown, this waits until it is known.
    """
    writer = run.parts.writer
    task: asyncio.Future[int] | asyncio.Task[None]
    if not announce:
        task = asyncio.create_task(writer.barrier(run.lane), name="durable-barrier")
    else:
        run.note_effect(int(call.descriptor.effect))
        run.parts.failpoints.reach("engine.queue.before")
        await writer.room()
        task = writer.submit(run.lane, call.intent())
        run.parts.failpoints.reach("engine.queue.after")
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except GeneratorExit:
            _take_back(run, call, announced=announce)
            raise
        except asyncio.CancelledError:
            if run.ended:
                _take_back(run, call, announced=announce)
                raise
            cancelled = True
    task.result()
    return cancelled


def _take_back(run: Run, call: StepCall, *, announced: bool) -> None:
    """The run was blocked while the intent was on its way: journal that nothing was called.

    Otherwise the operator who settles the step that blocks the run would find this one ambiguous
    each time, and two such steps at once would block each other for ever. Best effort: an intent
    that stays open is safe.
    """
    if announced and isinstance(run.error, ReplayError):
        with suppress(DurableError):
            run.parts.writer.offer(run.lane, call.not_called(), prompt=True)


async def _call_and_journal(
    run: Run,
    call: StepCall,
    first: int,
) -> Returned | Attempted | TimedOut:
    attempted = await attempt_all(run.parts, call, first)
    run.parts.failpoints.reach("engine.result.before")
    match attempted:
        case Returned(encoded=encoded):
            await run.journal(call.result(bytes((Outcome.VALUE,)) + encoded), prompt=True)
        case Attempted(error=error, attempts=attempts):
            await run.journal(
                call.failure(run.parts.failure_of(error, attempts).encode()), prompt=True
            )
        case TimedOut():
            pass
    run.parts.failpoints.reach("engine.result.after")
    return attempted
