"""Named points at which a crash test kills the process. Nothing happens there otherwise.

Backends and the engine pass such points on the way of a commit, a migration or a recovery. A crash
test starts a child with `DURABLE_FAILPOINT` set to `name` or `name:n`; the child kills itself with
SIGKILL when it reaches that point for the n-th time (the first where n is left out). No cleanup
runs: what the child leaves behind is what a crash at that point leaves behind.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Final, Self

from durable_core.errors import ConfigError

__all__ = ["VARIABLE", "Failpoints"]

VARIABLE: Final = "DURABLE_FAILPOINT"

_SPELLING: Final = re.compile(r"(?P<name>[a-z_.]+)(?::(?P<count>[1-9][0-9]*))?")


class Failpoints:
    """The points that are armed: none, or one. Made when something is opened, and handed down."""

    __slots__ = ("armed", "reach")

    armed: bool
    """Whether any is: who is in a hurry looks at it first."""

    reach: Callable[[str], None]
    """Say that the point of this name is reached. About 50 ns where nothing is armed."""

    def __init__(self, name: str | None = None, count: int = 1) -> None:
        self.armed = name is not None
        self.reach = _pass_by if name is None else _Trap(name, count).reach

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """What `DURABLE_FAILPOINT` arms; `ConfigError` where it is neither `name` nor `name:n`."""
        text = environment.get(VARIABLE, "")
        if not text:
            return cls()
        match = _SPELLING.fullmatch(text)
        if match is None:
            message = f"{VARIABLE} is {text!r}; write it as name or name:n, or unset it"
            raise ConfigError(message)
        return cls(match["name"], int(match["count"] or 1))


class _Trap:
    """Ends the process when a point is reached for the `count`-th time, from whichever thread."""

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._left = count
        self._lock = threading.Lock()

    def reach(self, name: str) -> None:
        if name != self._name:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def _pass_by(_name: str) -> None:
    return None
