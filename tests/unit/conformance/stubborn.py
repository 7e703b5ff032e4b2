"""What the kit's child processes may open in place of a backend; none of it stores anything."""

from __future__ import annotations

import itertools
import threading
from typing import Self

from durable_core.contracts import BackendSettings
from durable_core.errors import JournalUnavailable

__all__ = ["Stubborn"]

OPENS = itertools.count(1)


class Stubborn:
    """What is open of it keeps its process from ending, as a connection's thread does.

    The second open of a process is refused.
    """

    def __init__(self) -> None:
        self._closed = threading.Event()
        threading.Thread(target=self._closed.wait).start()

    @classmethod
    async def open(cls, _url: str, _settings: BackendSettings) -> Self:
        if next(OPENS) == 2:
            message = "refused for the test"
            raise JournalUnavailable(message)
        return cls()

    async def close(self) -> None:
        self._closed.set()
