"""Real calls of a backend that wait for a test, or are made to fail, at a chosen instant."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.programs import Stage

__all__ = ["failing", "held", "logged", "turns"]


@contextmanager
def held(
    owner: Any,
    name: str,
    *,
    skip: int = 0,
    answered: bool = False,
    when: Callable[..., bool] = lambda *_: True,
) -> Iterator[Stage]:
    """Calls of the method `name`, after the first `skip`, wait for the gate of the stage.

    Those with arguments of which `when` is true. They wait before they are made, or, with
    `answered`, when they were made and before their caller learns of it. The gate stands open on
    leaving.
    """
    real = getattr(owner, name)
    stage = Stage()

    async def waits(*args: Any, **kwargs: Any) -> Any:
        if not when(*args):
            return await real(*args, **kwargs)
        stage.calls.append(name)
        waiting = len(stage.calls) > skip
        if waiting and not answered:
            await stage.pause()
        answer = await real(*args, **kwargs)
        if waiting and answered:
            await stage.pause()
        return answer

    setattr(owner, name, waits)
    try:
        yield stage
    finally:
        stage.gate.set()
        delattr(owner, name)


@contextmanager
def failing(owner: Any, name: str, *errors: Exception | None) -> Iterator[deque[Exception | None]]:
    """Each call of the method raises the next error instead; the real one where that is None.

    The real one too when none is left. More may be added while it lasts.
    """
    real = getattr(owner, name)
    faults = deque(errors)

    async def fails(*args: Any, **kwargs: Any) -> Any:
        fault = faults.popleft() if faults else None
        if fault is not None:
            raise fault
        return await real(*args, **kwargs)

    setattr(owner, name, fails)
    try:
        yield faults
    finally:
        delattr(owner, name)


async def turns(count: int = 10) -> None:
    """Let every task that can go on do so, that many times."""
    for _ in range(count):
        await asyncio.sleep(0)


@contextmanager
def logged(logger: str, text: str) -> Iterator[asyncio.Event]:
    """Is set when something with that text is logged."""
    found = asyncio.Event()

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if text in record.getMessage():
                found.set()

    handler, source = Seen(), logging.getLogger(logger)
    level = source.level
    source.addHandler(handler)
    source.setLevel(logging.DEBUG)
    try:
        yield found
    finally:
        source.setLevel(level)
        source.removeHandler(handler)
