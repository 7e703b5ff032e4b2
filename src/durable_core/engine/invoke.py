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


class _TooLate(Exception):
    """The run ended while the call waited for a thread."""


class _Raised(Exception):
    """The function raised `error`, of whatever class."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


async def attempt_all(run: Run, call: StepCall, first: int = 1) -> Attempted:
    """Call the function until it returns, its retries are used up, or an error is not retried.

    A cancellation of this task is passed on; one that the function raises by itself is an error.
    """
    descriptor = call.spec.descriptor
    task = asyncio.current_task(run.loop)
    requests = asked = cancel_requests(task)
    attempt = first
    while True:
        thread = None
        try:
            value = await _attempt(run, call, attempt, task, asked)
        except _TooLate:
            return NOT_CALLED
        except _Cut as cut:
            failed, thread = _failed(run, cut.error, attempt), cut.thread
            if descriptor.guarded:
                return TimedOut(failed, attempt, thread)
        except _Raised as raised:
            failed = _failed(run, raised.error, attempt)
        else:
            return _encode(run, call, value, attempt)
        # A function may answer the workflow's cancellation with an error of its own.
        final = attempt >= descriptor.retry.attempts or cancel_requests(task) > requests
        retried = descriptor.safe_to_retry if descriptor.guarded else descriptor.retry.retry_on
        if final or not isinstance(failed.error, retried):
            return failed
        if thread is not None:
            # A thread cannot be cancelled: the next attempt must not run beside it.
            await asyncio.wait({thread})
        if not await run.activity.pause(descriptor.retry.pause(attempt, random.random())):  # noqa: S311
            return NOT_CALLED
        attempt += 1
        asked = cancel_requests(task)


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


async def _attempt(
    run: Run, call: StepCall, attempt: int, task: asyncio.Task[Any] | None, requests: int
) -> object:
    """Call it once; the `task`, which may be the own one of a strand, was asked to cancel so often.

    In that task, or in a thread where it is a plain function.
    """
    spec, reach = call.spec, run.parts.failpoints.reach
    active = ACTIVE.set(None)
    current = CURRENT.set(call if attempt == 1 else Attempt(call, attempt))
    strand = run.strands.of(task) if spec.is_async else None
    if strand is not None:
        strand.enter_function(requests)
    try:
        if spec.is_async:
            reach("engine.effect.before")
            limit = spec.descriptor.timeout
            awaitable = spec.fn(*call.args, **call.kwargs)
            value = await (awaitable if limit is None else _limited(call, awaitable, limit))
        else:
            value = await _in_thread(run, call)
    except (_Cut, _TooLate, *_OF_THE_PROCESS):
        raise
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and cancel_requests(task) > requests:
            raise
        raise _Raised(error) from None
    finally:
        if strand is not None:
            strand.leave_function()
        CURRENT.reset(current)
        ACTIVE.reset(active)
    reach("engine.effect.after")
    return value


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
        raise _TooLate
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
