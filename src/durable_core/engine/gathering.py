"""What a fold puts together: finished entries that follow one another, part by part (EC-38).

Reads only what was committed since the fold before, and verifies the chain as it reads: what
somebody has changed never gets into a checkpoint that says it was so. Guarded effects stay as they
are, and so does a timer that has not fired.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, Self

from attrs import define, evolve, field, frozen

from durable_core.clock import Clock
from durable_core.config import DurableConfig
from durable_core.contracts.backend import ExecutionBackend
from durable_core.contracts.exchange import FoldedRange
from durable_core.errors import IntegrityError
from durable_core.ids import shown_id
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.replay.lookup import CLOSES
from durable_core.wire.checkpoint import (
    Span,
    checkpoint_of,
    folded_item,
    is_foldable,
    part_size,
    snapshot_of,
)
from durable_core.wire.envelope import ExecutionEnvelope

__all__ = ["Gathering", "GatheringParts", "gather"]

_RANGES: Final = 100
"""The most that one transaction takes."""

_SMALL: Final = 65_536
"""A checkpoint below this is folded again, together with what comes behind it."""


class GatheringParts(Protocol):
    """What gathering needs of an engine."""

    @property
    def backend(self) -> ExecutionBackend:
        """The journal."""
        ...

    @property
    def config(self) -> DurableConfig:
        """The limits."""
        ...

    @property
    def clock(self) -> Clock:
        """When a checkpoint was made."""
        ...


@define
class _Part:
    """A range that is being put together: the rows that it takes, and what they hold."""

    first: int
    before: bytes
    generation: int
    rows: list[tuple[int, bytes | None]] = field(factory=list)
    last: JournalRow | None = None
    items: list[bytes] = field(factory=list)
    size: int = 0

    def add(self, row: JournalRow, item: bytes) -> None:
        self.rows.append((row.entry_no, row.hmac))
        self.last = row
        self.items.append(item)
        self.size += len(item)

    def again(self, checkpoint: JournalRow) -> _Part:
        """The same, as it stands stored: in one row, that of its checkpoint."""
        rows = [(checkpoint.entry_no, checkpoint.hmac)]
        return evolve(self, rows=rows, last=None, items=[*self.items])


@frozen
class Gathering:
    """The ranges of one transaction, and where the chain stands behind them."""

    read_to: int
    head: bytes
    ranges: tuple[FoldedRange, ...] = ()
    left: int = 0
    """How many places of the running generation stay, since they are too large for a part."""

    tail: _Part | None = field(default=None, repr=False)
    """The last range, where it ends where the reading did and is small."""

    @classmethod
    def begin(cls, envelope: ExecutionEnvelope) -> Self:
        """Where an execution begins."""
        return cls(0, envelope.genesis)


async def gather(
    parts: GatheringParts,
    envelope: ExecutionEnvelope,
    behind: Gathering,
    upto: int,
    generation: int,
    is_open: Callable[[str], bool],
) -> Gathering:
    """What is to be folded next, `behind` what was folded before, of the entries up to `upto`.

    All of these are committed, and `generation` runs; `is_open` says whether the wait at one of its
    places goes on. Takes as much as one transaction should; where more is left, its `read_to` is
    below `upto`. Raises `IntegrityError` for damage, and what opening, sealing and reading raise.
    """
    taking = _Taking(parts, envelope, behind, generation, is_open)
    while taking.read_to < upto and not taking.is_full:
        rows = await parts.backend.journal.read_execution_range(
            envelope.execution_id,
            taking.read_to,
            min(parts.config.replay_segment, upto - taking.read_to),
        )
        if not rows:
            raise taking.missing()
        for row in rows:
            taking.take(row)
    return taking.gathered()


class _Taking:
    """Takes stored rows one after the other."""

    def __init__(
        self,
        parts: GatheringParts,
        envelope: ExecutionEnvelope,
        behind: Gathering,
        generation: int,
        is_open: Callable[[str], bool],
    ) -> None:
        self.read_to = behind.read_to
        self._head = behind.head
        self._limit = parts.config.max_payload_bytes
        self._now_ms = parts.clock.now_ms
        self._envelope = envelope
        self._generation = generation
        self._is_open = is_open
        self._tail = behind.tail
        self._part: _Part | None = None
        self._ranges: list[FoldedRange] = []
        self._size = 0
        self._left = 0

    @property
    def is_full(self) -> bool:
        """Whether one transaction has enough with it."""
        return len(self._ranges) >= _RANGES or self._size >= self._limit

    def take(self, row: JournalRow) -> None:
        """The next row: verified, and folded if it may be."""
        before = self._head
        tail, self._tail = self._tail, None
        if row.entry_kind == EntryKind.CHECKPOINT:
            self._close()
            self._take_checkpoint(row, before, tail)
        else:
            if row.entry_no != self.read_to + 1:
                raise self.missing()
            self._head = self._envelope.check(before, row)
            self._take_entry(row, before, tail)
        self.read_to = row.entry_no

    def gathered(self) -> Gathering:
        """Everything that was taken."""
        tail = self._close()
        return Gathering(self.read_to, self._head, tuple(self._ranges), self._left, tail)

    def missing(self) -> IntegrityError:
        """The error for a hole behind what was read."""
        return IntegrityError(
            f"entry {self.read_to + 1} of execution {shown_id(self._envelope.execution_id)} is "
            "missing: the journal was changed outside durable-core; restore it from a backup"
        )

    def _take_checkpoint(self, row: JournalRow, before: bytes, tail: _Part | None) -> None:
        span = Span.decode(row)
        if tail is not None and span.first == tail.first:
            before = tail.before  # it went on with that one, and its answer was lost
        elif span.first != self.read_to + 1:
            raise self.missing()
        self._envelope.check(before, row)
        self._head = span.last or self._envelope.genesis

    def _take_entry(self, row: JournalRow, before: bytes, tail: _Part | None) -> None:
        current = row.generation == self._generation
        armed = current and row.entry_kind == EntryKind.TIMER_ARMED
        if not is_foldable(row.entry_kind, row.effect_class) or (
            armed and self._is_open(row.step_id)
        ):
            self._close()
            return
        payload = None if row.payload is None else self._envelope.open(row)
        item = folded_item(row, payload)
        if part_size(len(item)) > self._limit:
            self._left += current and row.entry_kind in CLOSES
            self._close()
            return
        part = self._part or tail
        if part is None or not self._fits(part, row, item):
            self._close()
            part = _Part(row.entry_no, before, row.generation)
        self._part = part
        part.add(row, item)

    def _fits(self, part: _Part, row: JournalRow, item: bytes) -> bool:
        size = part_size(part.size + len(item))
        return part.generation == row.generation and size <= self._limit

    def _close(self) -> _Part | None:
        """End the range that is being put together; what a later fold may go on with."""
        part, self._part = self._part, None
        if part is None or part.last is None:
            return None
        snapshot = snapshot_of(part.items)
        checkpoint = checkpoint_of(
            self._envelope, part.first, part.last, snapshot, part.before, self._now_ms()
        )
        self._ranges.append(FoldedRange(tuple(part.rows), checkpoint))
        self._size += len(snapshot)
        return part.again(checkpoint) if part.size < min(_SMALL, self._limit // 4) else None
