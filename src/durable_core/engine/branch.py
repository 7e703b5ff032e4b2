"""The identity of what a branch does: positions, occurrences and derived randomness (INV-2)."""

from __future__ import annotations

import uuid
from typing import Final

from blake3 import blake3

from durable_core.ids import StepId
from durable_core.wire.fields import field, integer, text
from durable_core.wire.fingerprint import ROOT_BRANCH, key_prefix

__all__ = ["CONTENT", "Branch"]

_DRAW_CONTEXT: Final = "durable-core v1 derived-draw"

CONTENT: Final = "~"
"""Begins the last part of the id of a step that is matched by content."""

_DIGITS: Final = 16
"""Hex digits of the fingerprint in the id of a step that is matched by content."""


class Branch:
    """Counts what one branch calls. Used by the event loop's thread alone.

    `path` is its idem branch path: for each parallel block that it lies in, which one of its
    branch's blocks that is, and which branch of the block, in decimal with dots between.
    """

    __slots__ = (
        "_blocks",
        "_by_content",
        "_draws",
        "_execution_id",
        "_key_prefix",
        "_occurrences",
        "_positions",
        "_prefix",
        "_promises",
        "_timers",
        "path",
    )

    def __init__(self, execution_id: bytes, prefix: str = "", path: str = ROOT_BRANCH) -> None:
        self.path = path
        self._prefix = prefix
        self._execution_id = execution_id
        self._key_prefix = key_prefix(execution_id, path)
        self._positions = 0
        self._blocks = 0
        self._occurrences: dict[bytes, int] = {}
        self._by_content: dict[bytes, int] = {}
        self._draws = 0
        self._timers = 0
        self._promises: dict[str, int] = {}

    @property
    def name(self) -> str:
        """How its steps' ids begin, for messages; `the root branch` has no beginning."""
        return f"branch {self._prefix[:-1]}" if self._prefix else "the root branch"

    def next_step(self) -> StepId:
        """Take the next position; assigned when the call is made, never at completion."""
        step_id = StepId(f"{self._prefix}{self._positions}")
        self._positions += 1
        return step_id

    def next_block(self) -> int:
        """Which of the branch's parallel blocks the next one is, whatever its position."""
        self._blocks += 1
        return self._blocks - 1

    def child(self, place: StepId, block: int, index: int) -> Branch:
        """Branch `index` of the parallel block at `place`, which is this branch's n-th block."""
        path = f"{self.path}.{block}.{index}" if self.path else f"{block}.{index}"
        return Branch(self._execution_id, f"{place}.{index}.", path)

    def next_timer(self) -> str:
        """The id of the next timer: which of the branch's timers it is, whatever its position."""
        self._timers += 1
        number = f"t{self._timers - 1}"
        return f"{self.path}.{number}" if self.path else number

    def next_promise(self, name: str) -> int:
        """How many promises of that name the branch has made before; counts one more."""
        occurrence = self._promises.get(name, 0)
        self._promises[name] = occurrence + 1
        return occurrence

    def key_of_wait(self, fingerprint: bytes) -> tuple[bytes, int]:
        """What the idempotency key of a wait is made of, which stands at a place of its own.

        By `call_key` and the fingerprint: the prefix, and how many equal ones there were.
        """
        return self._key_prefix, self._occurrence(fingerprint)

    def by_position(self, fingerprint: bytes) -> tuple[StepId, bytes, int]:
        """The id of a step that the branch's own task calls now.

        And what its idempotency key is made of by `call_key` and the fingerprint: the prefix, and
        how many equal calls there were.
        """
        step_id = StepId(f"{self._prefix}{self._positions}")
        self._positions += 1
        occurrence = self._occurrences.get(fingerprint, 0)
        self._occurrences[fingerprint] = occurrence + 1
        return step_id, self._key_prefix, occurrence

    def by_content(self, fingerprint: bytes) -> tuple[StepId, bytes, int]:
        """As `by_position`, of a step that another task of the branch calls now.

        It takes no position: when it is called is chance, and only what it is counts. For the same
        reason it is counted apart from equal calls of the branch's own task, so that neither can
        get the other's key.
        """
        occurrence = self._by_content.get(fingerprint, 0)
        self._by_content[fingerprint] = occurrence + 1
        step_id = f"{self._prefix}{CONTENT}{fingerprint.hex()[:_DIGITS]}.{occurrence}"
        prefix = key_prefix(self._execution_id, f"{self.path}{CONTENT}")
        return StepId(step_id), prefix, occurrence

    def _occurrence(self, fingerprint: bytes) -> int:
        """How many calls with this fingerprint there were; counts one more."""
        occurrence = self._occurrences.get(fingerprint, 0)
        self._occurrences[fingerprint] = occurrence + 1
        return occurrence

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
        data = field(self._execution_id) + text(self.path) + integer(self._draws)
        self._draws += 1
        return blake3(data, derive_key_context=_DRAW_CONTEXT).digest()
