"""Guarded effects: intent, function, result, and what to do when the journal cannot tell.

Carries INV-13 (a committed effect is never fired again), INV-18 (no durable intent, no call) and
INV-20 (everything issued earlier is durable before the function is called; its own result is
enqueued prompt and shares the commit of the next intent).

From the moment when a function may be called, or a policy is asked, the step runs in a task of its
own that the workflow cannot cancel: what comes of it is journaled, and is what the step returns,
now and on every replay, so that both take the same branch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from durable_core.engine.ambiguity import Resolved, Verdict, resolve
from durable_core.engine.call import StepCall
from durable_core.engine.invoke import (
    NOT_CALLED,
    Failed,
    NotCalled,
    Returned,
    TimedOut,
    attempt_all,
)
from durable_core.engine.outcome import CANCELLED, VALUE
from durable_core.engine.recorded import read_result, read_settled, take_over
from durable_core.engine.sequence import LAST
from durable_core.errors import AmbiguousEffect, DecodeError, DurableError
from durable_core.model.effects import OnAmbiguous
from durable_core.model.entries import EntryKind, JournalRow, Outcome
from durable_core.replay.detail import StepDetail
from durable_core.replay.lookup import Found, IntentOnly, Settled

if TYPE_CHECKING:
    from durable_core.engine.run import Run

__all__ = ["Closed", "announce_and_call", "perform_guarded"]

Closed = Returned | Failed | NotCalled
"""How the task of an effect ends."""


async def perform_guarded(run: Run, call: StepCall, found: Found, *, cancelled: bool) -> object:
    """The value of a guarded step that has no closing entry in this generation.

    `cancelled` says that the workflow cancelled the step while it was looked up. That counts only
    where nothing of it can have begun.
    """
    match found:
        case IntentOnly(row):
            return await _outlive(run, call, _meet_intent(run, call, row, fresh_run=False))
        case Settled(row):
            return await _meet_settled(run, call, row, cancelled=cancelled)
        case _:
            pass
    prior = run.cursor.prior.claim(call.idem_key)
    if prior is not None:
        return await _meet_prior(run, call, prior, cancelled=cancelled)
    if run.activity.concurrent and _unclaimed(run, call) is not None:
        # Let what goes on beside it call its own steps: one of them may be the one that is missed.
        cancelled |= await run.activity.outlast_turn(run.sequence.turn(LAST))
    other = _unclaimed(run, call)
    if other is not None:
        message = (
            f"step {call.step_id} {call.descriptor.name!r} of execution {run.execution_id} has "
            "other arguments than the effect of that name which an earlier run committed at "
            f"step {other.step_id}, or stands in another branch; it was not called. Settle it: it "
            "ran, with this value; or it did not run, then it is called as it is now"
        )
        run.blocking_intents.append(call.held_intent())
        raise AmbiguousEffect(message)
    return await announce_and_call(run, call, cancelled=cancelled)


def _unclaimed(run: Run, call: StepCall) -> JournalRow | None:
    """An effect of an earlier run that may be this one with other arguments (INV-13)."""
    for other in run.cursor.prior.unclaimed_effects(call.descriptor.name):
        if not _is_settled_as_not_run(run, other):
            return other
    return None


async def _meet_prior(run: Run, call: StepCall, row: JournalRow, *, cancelled: bool) -> object:
    if row.entry_kind == EntryKind.EFFECT_INTENT:
        return await _outlive(run, call, _meet_intent(run, call, row, fresh_run=True))
    if _is_settled_as_not_run(run, row):
        return await announce_and_call(run, call, cancelled=cancelled)
    entry, value = take_over(run, call, row)
    await run.complete(entry, prompt=True)
    return value


async def _meet_settled(run: Run, call: StepCall, row: JournalRow, *, cancelled: bool) -> object:
    encoded = read_settled(run.cursor.open_payload(row))
    if encoded is None:
        return await announce_and_call(run, call, cancelled=cancelled)
    payload = bytes((Outcome.SETTLED,)) + encoded
    try:
        value = read_result(run, call, payload)
    except DecodeError as error:
        message = (
            f"the value that step {call.step_id} {call.descriptor.name!r} of execution "
            f"{run.execution_id} was settled with cannot be its result ({error}); settle it again"
        )
        run.blocking_intents.append(call.held_intent())
        raise AmbiguousEffect(message) from error
    await run.complete(call.result(payload), prompt=True)
    return value


async def announce_and_call(run: Run, call: StepCall, *, cancelled: bool) -> object:
    """Make the intent durable, then call the function."""
    if not cancelled:
        cancelled = await _make_durable(run, call)
    if cancelled:
        await run.complete(call.failure(CANCELLED.encode()), prompt=True)
        raise asyncio.CancelledError
    begun = run.activity.begin_effect(_call(run, call))
    if not (isinstance(begun, asyncio.Task) or run.ended) and isinstance(begun[0], Returned):
        return begun[0].value  # as of all but all that wait for nothing
    return await _end_of(run, call, begun)


async def _outlive(run: Run, call: StepCall, effect: Coroutine[Any, Any, Closed]) -> object:
    """What the step returns or raises once `effect` has ended, whatever the workflow cancels."""
    return await _end_of(run, call, run.activity.begin_effect(effect))


async def _end_of(run: Run, call: StepCall, begun: asyncio.Task[Closed] | tuple[Closed]) -> object:
    """As `_outlive`, of an effect that has begun."""
    if isinstance(begun, asyncio.Task):
        await run.activity.outlast(begun)
        closed = begun.result()
    else:
        (closed,) = begun
        if run.ended:  # the function itself has ended it
            await run.halted()
    match closed:
        case Returned(value=value):
            return value
        case Failed(failure, error):
            raise failure.of_step(call.descriptor.name) from error
        case _:
            return await run.halted()


async def _make_durable(run: Run, call: StepCall) -> bool:
    """Commit the intent with all that was issued before; whether the step was cancelled meanwhile.

    If the outcome of the commit is unknown, this waits until it is known. A run that ends meanwhile
    takes the intent back.
    """
    writer = run.parts.writer
    run.only_idempotent = False
    run.parts.failpoints.reach("engine.queue.before")
    if not writer.has_room and await run.room():
        return True
    committed = writer.submit(run.lane, call.intent())
    run.parts.failpoints.reach("engine.queue.after")
    try:
        try:
            # Not shielded, which would take one more turn of the loop: a cancellation withdraws
            # nothing from the queue, and what became of the intent is then seen by its execution.
            await committed
        except asyncio.CancelledError:
            if run.ended:
                raise
            await run.activity.outlast_read(writer.barrier(run.lane))
            return True
    except (GeneratorExit, asyncio.CancelledError):
        _take_back(run, call)
        raise
    return False


def _take_back(run: Run, call: StepCall) -> None:
    """Journal that the function of an intent was not called.

    Otherwise each end of a run in that instant would leave an ambiguity: its policy would skip what
    was never done, or ask an operator about it. Best effort: an intent that stays open is safe.
    """
    with suppress(DurableError):
        run.parts.writer.offer(run.lane, call.not_called(), prompt=True)


async def _meet_intent(run: Run, call: StepCall, row: JournalRow, *, fresh_run: bool) -> Closed:
    """The effect of an intent that nothing follows, of this run or of an earlier one."""
    held = StepDetail.decode(row.detail).policy == OnAmbiguous.FAIL
    try:
        resolved = await resolve(run, call, held=held)
    except AmbiguousEffect:
        if fresh_run:
            run.blocking_intents.append(call.held_intent() if held else call.intent())
        raise
    if isinstance(resolved, Resolved):
        return await _close(run, call, resolved)
    if fresh_run:
        run.only_idempotent = False
        await run.parts.writer.append(run.lane, call.intent())
    return await _call(run, call, clean=False)


async def _call(run: Run, call: StepCall, *, clean: bool = True) -> Closed:
    """The effect itself. `clean` says that the function cannot have been called before."""
    first = 1
    while True:
        if not clean:
            await run.parts.writer.barrier(run.lane)
        attempted = NOT_CALLED if run.ended else await attempt_all(run, call, first)
        run.parts.failpoints.reach("engine.result.before")
        match attempted:
            case Returned(encoded=encoded):
                await run.complete(call.result(VALUE + encoded), prompt=True)
                run.parts.failpoints.reach("engine.result.after")
                return attempted
            case Failed():
                return await _fail(run, call, attempted)
            case TimedOut(failed, attempts, thread):
                clean = False
                exhausted = attempts >= call.descriptor.retry.attempts
                resolved = await resolve(run, call, exhausted=exhausted)
                if isinstance(resolved, Resolved):
                    return await _close(run, call, resolved)
                if resolved is Verdict.EXHAUSTED:
                    return await _fail(run, call, failed)
                if thread is not None:
                    # A thread cannot be cancelled: the next call must not run beside it.
                    await asyncio.wait({thread})
                first = attempts + 1
            case _:
                if clean:
                    _take_back(run, call)
                return NOT_CALLED


async def _fail(run: Run, call: StepCall, failed: Failed) -> Failed:
    await run.complete(call.failure(failed.failure.encode()), prompt=True)
    run.parts.failpoints.reach("engine.result.after")
    return failed


async def _close(run: Run, call: StepCall, resolved: Resolved) -> Returned:
    payload = bytes((resolved.outcome,)) + resolved.encoded
    await run.complete(call.result(payload), prompt=True)
    return Returned(resolved.encoded, read_result(run, call, payload))


def _is_settled_as_not_run(run: Run, row: JournalRow) -> bool:
    settled = row.entry_kind == EntryKind.INTENT_SETTLED
    return settled and read_settled(run.cursor.open_payload(row)) is None
