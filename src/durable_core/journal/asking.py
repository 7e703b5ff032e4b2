"""How the writer asks the store for something: insistently, within a bound, and with an eye on it.

Carries a part of INV-12: transient trouble is waited out for as long as an acknowledgement may
take, whatever was asked, and how long an answer has been owing is known to those who wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from durable_core.errors import CommitOutcomeUnknown, JournalUnavailable, TransientStoreError

__all__ = ["Asking", "StoreFailure"]

_LOG: Final = logging.getLogger("durable_core.journal")
_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.25

T = TypeVar("T")


class StoreFailure(Exception):
    """The store as a whole does not do its work; `cause` is what to tell everybody who waits."""

    def __init__(self, cause: JournalUnavailable) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Asking:
    """Asks one thing at a time, and repeats it for up to `patience` seconds."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._asked_at: float | None = None

    @property
    def owing(self) -> float:
        """For how many seconds the store has owed an answer; 0 where it owes none."""
        return 0.0 if self._asked_at is None else time.monotonic() - self._asked_at

    async def ask(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns, tried again after transient trouble; otherwise `StoreFailure`."""
        deadline = time.monotonic() + self._patience
        pause = _FIRST_PAUSE
        unknown = False
        while True:
            self._asked_at = time.monotonic()
            try:
                return await attempt()
            except TransientStoreError as error:
                unknown |= error.landed_unknown
                if time.monotonic() + pause > deadline:
                    raise StoreFailure(self._gave_up(error, unknown=unknown)) from error
                _LOG.debug("the store met transient trouble and is asked again: %s", error)
            except JournalUnavailable as error:
                raise StoreFailure(error) from error
            finally:
                self._asked_at = None
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _gave_up(self, error: TransientStoreError, *, unknown: bool) -> JournalUnavailable:
        """Of several attempts one that may have landed is enough for an unknown outcome."""
        kind = CommitOutcomeUnknown if unknown else JournalUnavailable
        unavailable = kind(f"the store did not do its work for {self._patience:g} s: {error}")
        unavailable.__cause__ = error
        return unavailable
