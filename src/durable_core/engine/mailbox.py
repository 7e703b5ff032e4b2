"""Which signals a run has asked for: by name and number, and in which branch."""

from __future__ import annotations

import heapq

from attrs import define, field

from durable_core.errors import ConfigError

__all__ = ["Mailbox"]


@define
class Mailbox:
    """The next numbers of the signals of a run. Used by the event loop's thread alone."""

    _claimed: dict[str, int] = field(factory=dict)
    _free: dict[str, list[int]] = field(factory=dict)
    _readers: dict[str, str] = field(factory=dict)

    def require_reader(self, name: str, branch: str) -> None:
        """`ConfigError` where another branch receives signals of that name."""
        reader = self._readers.setdefault(name, branch)
        if reader != branch:
            message = (
                f"signals {name!r} are received in another branch already; which branch gets which "
                "would be a matter of chance"
            )
            raise ConfigError(message)

    def next_number(self, name: str) -> int:
        """The number of the signal that is received next."""
        free = self._free.get(name)
        if free:
            return heapq.heappop(free)
        number = self._claimed.get(name, 0)
        self._claimed[name] = number + 1
        return number

    def give_back(self, name: str, number: int) -> None:
        """Nothing came in time: the next one who receives waits for the same signal."""
        heapq.heappush(self._free.setdefault(name, []), number)
