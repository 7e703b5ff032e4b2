"""The identity of what a branch does: positions, occurrences and derived randomness (INV-2)."""

from __future__ import annotations

import uuid
from typing import Final

from blake3 import blake3

from durable_core.ids import StepId, root_step
from durable_core.wire.fields import field, integer, text
from durable_core.wire.fingerprint import ROOT_BRANCH, idempotency_key

__all__ = ["Branch"]

_DRAW_CONTEXT: Final = "durable-core v1 derived-draw"


class Branch:
    """Counts the calls of one branch. Used by the branch's own task alone."""

    path: Final = ROOT_BRANCH
    """The idem branch path: of which parallel blocks it is which branch."""

    def __init__(self, execution_id: bytes) -> None:
        self.steps = 0
        self._execution_id = execution_id
        self._occurrences: dict[bytes, int] = {}
        self._draws = 0
        self._timers = 0
        self._promises: dict[str, int] = {}

    def next_step(self) -> StepId:
        """Take the next position; assigned when the call is made, never at completion."""
        step_id = root_step(self.steps)
        self.steps += 1
        return step_id

    def next_timer(self) -> str:
        """The id of the next timer: which of the branch's timers it is, whatever its position."""
        self._timers += 1
        return f"t{self._timers - 1}"

    def next_promise(self, name: str) -> int:
        """How many promises of that name the branch has made before; counts one more."""
        occurrence = self._promises.get(name, 0)
        self._promises[name] = occurrence + 1
        return occurrence

    def idempotency_key(self, fingerprint: bytes) -> bytes:
        """The key of the next call with this fingerprint; counts it."""
        occurrence = self._occurrences.get(fingerprint, 0)
        self._occurrences[fingerprint] = occurrence + 1
        return idempotency_key(self._execution_id, ROOT_BRANCH, fingerprint, occurrence)

    def uuid(self) -> uuid.UUID:
        """A UUID (version 8, RFC 9562) derived from execution, branch and count of draws."""
        value = int.from_bytes(self._draw()[:16], "big")
        value = value & ~(0xF << 76) | 0x8 << 76
        value = value & ~(0x3 << 62) | 0x2 << 62
        return uuid.UUID(int=value)

    def random(self) -> float:
        """A float in [0, 1) with 53 random bits, derived like `uuid`."""
        return (int.from_bytes(self._draw()[:8], "big") >> 11) / (1 << 53)

    def _draw(self) -> bytes:
        data = field(self._execution_id) + text(ROOT_BRANCH) + integer(self._draws)
        self._draws += 1
        return blake3(data, derive_key_context=_DRAW_CONTEXT).digest()
