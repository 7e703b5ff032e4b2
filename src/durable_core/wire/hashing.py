"""BLAKE3 that is set up once, for hashes that are made for each entry."""

from __future__ import annotations

from typing import Final

from blake3 import blake3

__all__ = ["Hashing", "keyed"]


class Hashing:
    """The hash that `blank`, which has taken in nothing, would make. Safe to call from any thread.

    A hasher is large, and making one costs as much as a short hash. So the ones that were made lie
    ready; each belongs to one call at a time, also where the call is interrupted by another.
    """

    __slots__ = ("_blank", "_idle")

    def __init__(self, blank: blake3) -> None:
        self._blank: Final = blank
        self._idle: Final[list[blake3]] = []

    def __call__(self, data: bytes) -> bytes:
        """The 32 bytes of `data`; nothing of it is kept."""
        try:
            hasher = self._idle.pop()
        except IndexError:
            hasher = self._blank.copy()
        hasher.update(data)
        digest = hasher.digest()
        hasher.reset()
        self._idle.append(hasher)
        return digest


def keyed(key: bytes) -> Hashing:
    """Keyed BLAKE3 under `key` (32 bytes)."""
    return Hashing(blake3(key=key))
