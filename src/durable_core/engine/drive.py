"""Drives a workflow's coroutine, and ends it without resuming it (INV-21).

The engine's own failures are not raised into the workflow, where an `except Exception` would run a
compensation for something that did not happen. So the coroutine is not awaited directly: this
driver stands between it and its task, and once the run has ended it closes the coroutine instead
of resuming it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, Generic, TypeVar

__all__ = ["Drive", "RunEnded"]

_LOG: Final = logging.getLogger("durable_core.engine")

T = TypeVar("T")


class RunEnded(BaseException):
    """The run was ended by the engine; raised to the engine's own code, never to the workflow."""


class Drive(Generic[T]):
    """Await it to run `coroutine`; `RunEnded` as soon as `must_close()` is true when it waits.

    Behaves like `yield from` (PEP 380) otherwise, so that asyncio's tools work inside. While a
    step's own function runs in the coroutine, `must_close` waits with its answer: the function is
    cancelled like any other, and has time to clean up.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], must_close: Callable[[], bool]) -> None:
        self._coroutine = coroutine
        self._must_close = must_close

    def __await__(self) -> Generator[Any, None, T]:
        coroutine = self._coroutine
        must_close = self._must_close
        thrown: BaseException | None = None
        while True:
            try:
                waited = coroutine.send(None) if thrown is None else coroutine.throw(thrown)
            except StopIteration as stop:
                if must_close():
                    raise RunEnded from None
                return stop.value  # type: ignore[no-any-return]  # its `value` is Any
            except BaseException:
                if must_close():
                    raise RunEnded from None
                raise
            if must_close():
                self._close()
                raise RunEnded
            thrown = None
            try:
                yield waited
            except BaseException as error:  # noqa: BLE001 - handed on to the coroutine
                thrown = error
            if must_close():
                self._close()
                raise RunEnded from None

    def _close(self) -> None:
        # The coroutine sees GeneratorExit: no `except Exception` catches it, and a `finally` that
        # awaits is cut off. What a `finally` raises is of no interest: the outcome is discarded.
        try:
            self._coroutine.close()
        except BaseException as error:  # noqa: BLE001 - the workflow's own clean-up
            _LOG.warning("a workflow's clean-up was cut off: %s", type(error).__name__)
