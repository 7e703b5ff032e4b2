"""The ReplayCursor answers one question: what has already happened at this step? (INV-3, INV-10).

Holds only what the program has not consumed yet: for sequential code that is one segment, whatever
the length. It never holds a lock across I/O; look-ups that wait for the same segment share one
read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from durable_core.errors import DecodeError, IntegrityError, PayloadError, ReplayDivergence
from durable_core.ids import shown_id
from durable_core.model.effects import EffectClass
from durable_core.model.entries import (
    STEP_KINDS,
    TIMER_KINDS,
    EntryKind,
    FoldedRow,
    JournalRow,
    OpenedRow,
)
from durable_core.replay.divergence import describe, leftover
from durable_core.replay.lookup import (
    CLOSES,
    FRESH,
    Found,
    Wanted,
    answer_of,
    first_entry,
    next_entry,
)
from durable_core.replay.prior import PriorEffects
from durable_core.replay.reader import ChainReader
from durable_core.replay.received import Received
from durable_core.wire.pages import open_page
from durable_core.wire.waits import read_resolved

__all__ = ["ReplayCursor"]

_AT_A_PLACE: Final = STEP_KINDS | TIMER_KINDS | {EntryKind.PROMISE_CREATED}
"""What the program asks for by its place."""

_RESULT: Final = int(EntryKind.STEP_RESULT)
_IDEMPOTENT: Final = int(EffectClass.IDEMPOTENT)


class ReplayCursor:
    """Answers for one execution, as it stood when it was claimed.

    For the tasks of one event loop. Any method that reads raises `IntegrityError` or
    `DecodeError` for damage, and whatever the journal raises. Once damage was found every later
    look-up raises it too: a damaged journal never answers that a step is fresh.
    """

    def __init__(self, reader: ChainReader) -> None:
        self.prior = PriorEffects()
        self.signals = Received()
        self.only_idempotent = True
        self.folded = 0
        """How many places of the current generation were read from checkpoints."""

        self._reader = reader
        self._taken = reader.exhausted
        """Whether every row is taken in: the reader is further than that while it ends a read."""

        self._input: JournalRow | None = None
        self._generation = reader.row.generation
        self.unconsumed: dict[str, JournalRow] = {}
        """By place, the last entry so far of what was read and the program has not seen."""

        self.beside = 0
        """How many steps are read and unconsumed that are no positions of the root branch."""

        self._resolutions: dict[bytes, JournalRow] = {}
        self._loading: asyncio.Task[None] | None = None
        self._told: list[Callable[[BaseException | None], object]] = []
        """Who is told when the segment is read that is being read."""

        self._damage: PayloadError | None = None

    @property
    def exhausted(self) -> bool:
        """Whether every entry has been read, and none of them was damaged."""
        return self._taken and self._damage is None

    @property
    def replaying(self) -> bool:
        """Whether journaled steps of this generation are still unconsumed or unread."""
        return bool(self.unconsumed) or not self.exhausted

    async def open(self) -> bytes:
        """Read as far as the start of the current generation; its payload, the arguments."""
        while self._input is None and not self.exhausted:
            await self._load()
        if self._input is None:
            row = self._reader.row
            message = (
                f"execution {shown_id(row.execution_id)} has no entry that starts its generation "
                f"{row.generation}"
            )
            raise IntegrityError(message)
        return self.open_payload(self._input)

    async def look_up(self, wanted: Wanted) -> Found:
        """The journal's answer; the entry is consumed. `ReplayDivergence` for another step."""
        found = self.answer(wanted)
        while found is None:
            await self._load()
            found = self.answer(wanted)
        return found

    def answer(self, wanted: Wanted) -> Found | None:
        """What `look_up` answers if that needs no reading, else None; raises as it does."""
        row = self.unconsumed.get(wanted.step_id)
        if row is None or row.entry_kind not in CLOSES:
            if not self.exhausted:
                return None
            if row is None:
                return FRESH
        return self._answer(wanted, row)

    def drop(self, wanted: Wanted) -> Found:
        """What is known so far of a step that needs no more; raises as `look_up` does."""
        row = self.unconsumed.get(wanted.step_id)
        return FRESH if row is None else self._answer(wanted, row)

    def result_at(self, wanted: Wanted) -> JournalRow | None:
        """The `step_result` of exactly this step, if it was read and is unconsumed; it stays so."""
        row = self.unconsumed.get(wanted.step_id)
        if (
            row is None
            or row.entry_kind != _RESULT
            or row.fingerprint != wanted.fingerprint
            or row.effect_class != wanted.effect
        ):
            return None
        return row

    def consume(self, step_id: str) -> None:
        """The program has seen what was read of a step."""
        del self.unconsumed[step_id]
        self.beside -= not step_id.isdecimal()

    def resolution(self, promise_id: bytes) -> JournalRow | None:
        """The `promise_resolved` of that promise, if it was read; it stays for who asks again."""
        return self._resolutions.get(promise_id)

    @property
    def resolutions(self) -> list[JournalRow]:
        """Those that were read and not forgotten."""
        return list(self._resolutions.values())

    def forget_resolution(self, promise_id: bytes) -> None:
        """Nobody asks for it again."""
        self._resolutions.pop(promise_id, None)

    async def finish(self) -> None:
        """The program has ended: `ReplayDivergence` if journaled steps were not asked for."""
        await self.read_all()
        if self.unconsumed:
            raise ReplayDivergence(leftover(list(self.unconsumed.values())))

    async def read_all(self) -> None:
        """Read to the end, so that `only_idempotent` speaks of the whole generation."""
        while not self.exhausted:
            await self._load()

    def open_payload(self, row: JournalRow) -> bytes:
        """The plain payload of a row that this cursor returned."""
        payload = row.payload
        if payload and row.__class__ is OpenedRow:
            return payload
        return self._reader.envelope.open(row)

    def unread(self, step_id: str) -> bool:
        """Whether nothing was read of that place, and something may come."""
        return step_id not in self.unconsumed and not self.exhausted

    def closing(self, step_id: str) -> JournalRow | None:
        """The entry that closes what stands at that place, if it was read."""
        row = self.unconsumed.get(step_id)
        return None if row is None or row.entry_kind not in CLOSES else row

    def tell_when_loaded(self, told: Callable[[BaseException | None], object]) -> None:
        """Call `told` when the next segment was read, with what that raised.

        One read is shared by all who wait for it, and goes on where they do not. Not where
        everything was read.
        """
        if self._damage is not None:
            raise self._damage
        if not self._told:
            loading = self._load_segment()
            self._loading = asyncio.create_task(loading, name="durable-replay-load")
        self._told.append(told)

    def load(self) -> asyncio.Future[Exception | None]:
        """A future of the caller's own, by `tell_when_loaded`."""
        waiter: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.tell_when_loaded(partial(_tell, waiter))
        return waiter

    async def _load(self) -> None:
        error = await self.load()
        if error is not None:
            raise error

    async def _load_segment(self) -> None:
        error: BaseException | None = None
        try:
            self._take_all(await self._reader.segment())
            self._taken = self._reader.exhausted
        except PayloadError as damage:
            error = self._damage = damage
        except asyncio.CancelledError as stopped:  # with its loop
            error = stopped
            raise
        except Exception as trouble:  # noqa: BLE001 - whatever it is, who waits for it is told
            error = trouble
        finally:
            waiting, self._told = self._told, []
            for told in waiting:
                told(error)

    def _answer(self, wanted: Wanted, row: JournalRow) -> Found:
        if not wanted.is_at(row):
            raise ReplayDivergence(describe(wanted, row, self._reader.envelope.keys))
        self.consume(wanted.step_id)
        return answer_of(row)

    def _take_all(self, rows: list[JournalRow]) -> None:
        steps, generation = self.unconsumed, self._generation
        for row in open_page(self._reader.envelope, rows, generation):
            step_id = row.step_id
            if (
                row.entry_kind == _RESULT
                and row.effect_class == _IDEMPOTENT
                and row.generation == generation
                and row.__class__ is not FoldedRow
                and step_id not in steps
            ):
                # What most entries of long executions are, without the way through all kinds.
                steps[step_id] = row
                self.beside += not step_id.isdecimal()
            else:
                self._take(row)

    def _take(self, row: JournalRow) -> None:
        if row.entry_kind in _AT_A_PLACE and row.generation == self._generation:
            self._take_step(row)
        elif row.entry_kind == EntryKind.PROMISE_RESOLVED:
            # Of whichever run: it happened outside, and what was journaled first counts.
            promise, signal = read_resolved(row.detail)
            self._resolutions.setdefault(promise, row)
            if signal is not None:
                self.signals.add(signal)
        elif row.entry_kind == EntryKind.EXECUTION_STARTED:
            if row.generation > 0:
                self.prior.next_generation()
            if row.generation == self._generation:
                self._input = row
        elif row.generation != self._generation:
            self.prior.add(row)
        elif row.entry_kind != EntryKind.EXECUTION_FINISHED:
            message = (
                f"entry {row.entry_no} of execution {shown_id(row.execution_id)} has kind "
                f"{row.entry_kind}, which this version cannot replay: upgrade durable-core"
            )
            raise DecodeError(message)

    def _take_step(self, row: JournalRow) -> None:
        step_id = row.step_id
        if row.effect_class != EffectClass.IDEMPOTENT and row.entry_kind in STEP_KINDS:
            self.only_idempotent = False
        if isinstance(row, FoldedRow):
            self.folded += row.entry_kind in CLOSES
        before = self.unconsumed.get(step_id)
        if before is None:
            self.unconsumed[step_id] = first_entry(row)
            self.beside += not step_id.isdecimal()
        else:
            self.unconsumed[step_id] = next_entry(before, row)


def _tell(waiter: asyncio.Future[Exception | None], error: BaseException | None) -> None:
    if waiter.done():
        return
    if error is None or isinstance(error, Exception):
        waiter.set_result(error)
    else:
        waiter.cancel()
