"""Calls a step's function: in the task or in a thread, with time limit and retries.

Nothing is journaled here. What comes back is the encoded result or the final error.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

from durable_core.engine.call import CURRENT, Attempt, StepCall
from durable_core.engine.definition import ACTIVE
from durable_core.engine.eager import cancel_requests
from durable_core.engine.outcome import Failure
from durable_core.errors import PayloadError

if TYPE_CHECKING:
    from durable_core.engine.run import Run

__all__ = [
    "NOT_CALLED",
    "Attempted",
    "Failed",
    "NotCalled",
    "Returned",
    "TimedOut",
    "TooLate",
    "attempt_all",
]

_OF_THE_PROCESS: Final = (GeneratorExit, KeyboardInterrupt, SystemExit)
"""What is not the step's failure: the coroutine is being closed, or the process ends."""


@define
class Returned:
    """The function returned: the encoding, and the decoded encoding that the caller gets."""

    encoded: bytes = field(repr=False)
    value: object = field(repr=False)


@frozen
class Failed:
    """The function failed for good: the record for the journal, and the error itself."""

    failure: Failure
    error: BaseException = field(repr=False)


@frozen
class TimedOut:
    """A guarded function was cut off by its time limit: it may or may not have had its effect.

    `thread` is the future of a plain function that is still running; a thread cannot be cancelled.
    """

    failed: Failed
    attempts: int
    thread: asyncio.Future[Any] | None


class NotCalled:
    """The type of `NOT_CALLED`."""


NOT_CALLED: Final = NotCalled()
"""The run has ended before the function was called, or called again after a harmless error."""

Attempted = Returned | Failed | TimedOut | NotCalled


class _Cut(Exception):
    def __init__(self, error: TimeoutError, thread: asyncio.Future[Any] | None) -> None:
        super().__init__()
        self.error = error
        self.thread = thread


class TooLate(Exception):
    """The run has ended, and what the function was to do was not done, or will be found done.

    While the call waited for a thread, say.
    """


async def attempt_all(run: Run, call: StepCall, first: int = 1) -> Attempted:
    """Call the function until it returns, its retries are used up, or an error is not retried.

    In this task, which may be the own one of a strand, or in a thread where it is a plain function.
    A cancellation of this task is passed on; one that the function raises by itself is an error.
    """
    spec, traps = call.spec, run.parts.failpoints
    task = asyncio.current_task(run.loop)
    strand = run.strands.of(task)
    requests = asked = cancel_requests(task) if strand is None else strand.requests
    attempt = first
    while True:
        raised: BaseException | None = None
        value: object = None
        # In the task of an effect it is nothing already, and to set it makes objects.
        active = None if ACTIVE.get() is None else ACTIVE.set(None)
        current = CURRENT.set(call if attempt == 1 else Attempt(call, attempt))
        if strand is not None and spec.is_async:
            strand.inside += 1
            strand.requests = asked
        try:
            value = await (_begun(run, call) if spec.is_async else _in_thread(run, call))
        except _OF_THE_PROCESS:
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and cancel_requests(task) > asked:
                raise
            raised = _from_below(error)
        finally:
            if strand is not None and spec.is_async:
                strand.inside -= 1
            CURRENT.reset(current)
            if active is not None:
                ACTIVE.reset(active)
        if raised is None:
            traps.reach("engine.effect.after")
            return _encode(run, call, value, attempt)
        # A function may answer the workflow's cancellation with an error of its own.
        cancelled = cancel_requests(task) > requests
        ended = await _end_after(run, call, raised, attempt, cancelled=cancelled)
        if ended is not None:
            return ended
        attempt += 1
        asked = cancel_requests(task)


def _begun(run: Run, call: StepCall) -> Awaitable[object]:
    """What the call of an async function returns, within its time limit."""
    traps = run.parts.failpoints
    if traps.armed:
        traps.reach("engine.effect.before")
    awaitable: Awaitable[object] = call.spec.fn(*call.args, **call.kwargs)
    limit = call.spec.descriptor.timeout
    return awaitable if limit is None else _limited(call, awaitable, limit)


def _from_below(error: BaseException) -> BaseException:
    """`error` without the frame that has caught it, which holds it, and would hold itself so."""
    trace = error.__traceback__
    return error.with_traceback(None if trace is None else trace.tb_next)


async def _end_after(
    run: Run, call: StepCall, error: BaseException, attempt: int, *, cancelled: bool
) -> Attempted | None:
    """What all attempts end with after one that raised; None where the next one is to be made now.

    `cancelled` says that the workflow has cancelled the step meanwhile.
    """
    if isinstance(error, TooLate):
        return NOT_CALLED
    descriptor, thread = call.descriptor, None
    if isinstance(error, _Cut):
        thread, error = error.thread, error.error
        if descriptor.guarded:
            return TimedOut(_failed(run, error, attempt), attempt, thread)
    retried = descriptor.safe_to_retry if descriptor.guarded else descriptor.retry.retry_on
    final = attempt >= descriptor.retry.attempts or cancelled
    if final or not isinstance(error, retried):
        return _failed(run, error, attempt)
    if thread is not None:
        # A thread cannot be cancelled: the next attempt must not run beside it.
        await asyncio.wait({thread})
    pause = descriptor.retry.pause(attempt, random.random())  # noqa: S311 - jitter is no secret
    if not await run.activity.pause(pause):
        return NOT_CALLED
    return None


def _failed(run: Run, error: BaseException, attempts: int) -> Failed:
    return Failed(run.parts.failure_of(error, attempts), error)


def _encode(run: Run, call: StepCall, value: object, attempt: int) -> Returned | Failed:
    try:
        encoded, restored = run.parts.codec.settle(value, call.spec.shape.returns)
    except PayloadError as error:
        named = type(error)(f"the result of step {call.descriptor.name!r} is refused: {error}")
        named.__cause__ = error
        return _failed(run, named, attempt)
    return Returned(encoded, restored)


async def _limited(call: StepCall, awaitable: Awaitable[object], limit: float) -> object:
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            return await awaitable
    except TimeoutError as error:
        if scope.expired():
            raise _Cut(_over(call), None) from error
        raise


async def _in_thread(run: Run, call: StepCall) -> object:
    threads = run.parts.threads
    thread = await threads.begin(call.spec.fn, call.args, call.kwargs, lambda: _may_begin(run))
    if thread is None:
        raise TooLate
    limit = call.descriptor.timeout
    if limit is None:
        value = await asyncio.shield(thread)
    else:
        done, _ = await asyncio.wait({thread}, timeout=limit)
        if not done:
            raise _Cut(_over(call), thread)
        value = thread.result()
    if not inspect.isawaitable(value):
        return value
    # What a lambda or a partial returned still has to be awaited.
    return await (value if limit is None else _limited(call, value, limit))


def _may_begin(run: Run) -> bool:
    if run.ended:
        return False
    run.parts.failpoints.reach("engine.effect.before")
    return True


def _over(call: StepCall) -> TimeoutError:
    return TimeoutError(
        f"step {call.descriptor.name!r} took longer than its timeout of "
        f"{call.descriptor.timeout:g} s",
    )
