"""Where master keys come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen

__all__ = ["KeyProvider", "MasterKeys"]


@frozen
class MasterKeys:
    """Master keys by key id (1 to 255), each of 32 bytes; `current` seals what is written now."""

    current: int
    by_id: Mapping[int, bytes] = field(repr=False)


class KeyProvider(Protocol):
    """Supplies master keys when an engine is opened; never asked on the step path."""

    def load(self) -> MasterKeys:
        """The keys; `ConfigError` that says how to make one where there is none.

        Called once for each engine that is opened, from the event loop's thread. What is returned
        is checked: anything but proper `MasterKeys` is a `ConfigError`, and None counts as no key
        at all. Any error that is not a `DurableError` becomes a `PluginError`.
        """
        ...
