"""Which signals the journal holds: how many of each name, and of which requests."""

from __future__ import annotations

from attrs import define, field

from durable_core.wire.waits import Signal

__all__ = ["Received"]


@define
class Received:
    """Of all generations: a signal was sent to the execution, and is received once."""

    _counts: dict[str, int] = field(factory=dict)
    _requests: dict[bytes, None] = field(factory=dict)

    def copy(self) -> Received:
        """What is added to the copy is not added to this one."""
        return Received(self._counts.copy(), self._requests.copy())

    def __contains__(self, request_id: bytes) -> bool:
        return request_id in self._requests

    def count(self, name: str) -> int:
        """How many signals of that name there are."""
        return self._counts.get(name, 0)

    def add(self, signal: Signal) -> None:
        """One more, the next of its name."""
        self._counts[signal.name] = self.count(signal.name) + 1
        self._requests[signal.request_id] = None
