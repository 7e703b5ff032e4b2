"""Calls a step's function: in the task or in a thread, with time limit and retries.

Nothing is journaled here. What comes back is the encoded result or the final error.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from attrs import field, frozen

from durable_core.engine.call import CURRENT, StepCall
from durable_core.engine.definition import ACTIVE
from durable_core.engine.parts import EngineParts
from durable_core.errors import PayloadError

__all__ = ["Attempted", "Returned", "TimedOut", "attempt_all"]


@frozen
class Returned:
    """The function returned: the encoding, and the decoded encoding that the caller gets."""

    encoded: bytes = field(repr=False)
    value: object = field(repr=False)


@frozen
class Attempted:
    """The function failed for good."""

    error: BaseException = field(repr=False)
    attempts: int


@frozen
class TimedOut:
    """A guarded function was cut off by its time limit: it may or may not have had its effect.

    `thread` is the future of a plain function that is still running; a thread cannot be cancelled.
    """

    error: TimeoutError
    attempts: int
    thread: asyncio.Future[Any] | None


class _Cut(Exception):
    def __init__(self, error: TimeoutError, thread: asyncio.Future[Any] | None) -> None:
        super().__init__()
        self.error = error
        self.thread = thread


async def attempt_all(
    parts: EngineParts,
    call: StepCall,
    first: int = 1,
) -> Returned | Attempted | TimedOut:
    """Call the function until it returns, its retries are used up, or an error is not retried."""
    descriptor = call.descriptor
    retried = descriptor.safe_to_retry if descriptor.guarded else descriptor.retry.retry_on
    attempt = first
    while True:
        thread = None
        error: Exception
        try:
            value = await _attempt(parts, call, attempt)
        except _Cut as cut:
            if descriptor.guarded:
                return TimedOut(cut.error, attempt, cut.thread)
            error, thread = cut.error, cut.thread
        except Exception as raised:  # noqa: BLE001 - whatever a step raises is its failure
            error = raised
        else:
            return _encode(parts, call, value, attempt)
        if attempt >= descriptor.retry.attempts or not isinstance(error, retried):
            return Attempted(error, attempt)
        if thread is not None:
            # A thread cannot be cancelled: the next attempt must not run beside it.
            await asyncio.wait({thread})
        await asyncio.sleep(descriptor.retry.pause(attempt, random.random()))  # noqa: S311
        attempt += 1


def _encode(
    parts: EngineParts,
    call: StepCall,
    value: object,
    attempt: int,
) -> Returned | Attempted:
    try:
        encoded, restored = parts.codec.settle(value, call.spec.shape.returns)
    except PayloadError as error:
        named = type(error)(f"the result of step {call.descriptor.name!r} is refused: {error}")
        named.__cause__ = error
        return Attempted(named, attempt)
    return Returned(encoded, restored)


async def _attempt(parts: EngineParts, call: StepCall, attempt: int) -> object:
    active = ACTIVE.set(None)
    current = CURRENT.set(call.current(attempt))
    parts.failpoints.reach("engine.effect.before")
    try:
        if call.spec.is_async:
            value = await _in_task(call)
        else:
            value = await _in_thread(parts, call)
    finally:
        CURRENT.reset(current)
        ACTIVE.reset(active)
    parts.failpoints.reach("engine.effect.after")
    return value


async def _in_task(call: StepCall) -> object:
    limit = call.descriptor.timeout
    if limit is None:
        return await call.spec.fn(*call.args, **call.kwargs)
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            return await call.spec.fn(*call.args, **call.kwargs)
    except TimeoutError as error:
        if scope.expired():
            raise _Cut(_over(call), None) from error
        raise


async def _in_thread(parts: EngineParts, call: StepCall) -> object:
    thread = parts.threads.call(call.spec.fn, call.args, call.kwargs)
    limit = call.descriptor.timeout
    if limit is None:
        return await asyncio.shield(thread)
    done, _ = await asyncio.wait({thread}, timeout=limit)
    if not done:
        raise _Cut(_over(call), thread)
    return thread.result()


def _over(call: StepCall) -> TimeoutError:
    return TimeoutError(
        f"step {call.descriptor.name!r} took longer than its timeout of "
        f"{call.descriptor.timeout:g} s",
    )
