"""What a run knows of the promises that its program has made, by their ids (NFR-10).

Of one whose outcome the program was told, and whose handle it has dropped, only half of the id and
the type are kept: who resolves it again is told as before, and who waits for it again, by a copy of
its handle, has its outcome read from the journal.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from durable_core.engine.stored import read_all, reader_of
from durable_core.errors import IntegrityError
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.wire.waits import resolved_promise

if TYPE_CHECKING:
    from durable_core.engine.promise import Cell, DurablePromise
    from durable_core.engine.run import Run
    from durable_core.replay.cursor import ReplayCursor

__all__ = ["Cells", "recall"]

_KEPT: Final = 8
"""Of the bytes of an id, those that are kept: 60 derived bits tell those of one execution apart."""


class Cells:
    """Those of one run. Used by the event loop's thread; a handle may be dropped in any."""

    def __init__(self, cursor: ReplayCursor) -> None:
        self._cursor = cursor
        self._by_id: dict[bytes, Cell] = {}
        self._told: list[tuple[Any, bytearray]] = []
        """Of those that were let go what is kept, one behind the other, by the type of a value."""

    def __contains__(self, promise_id: bytes) -> bool:
        """Whether the program has made that promise here."""
        return promise_id in self._by_id or self.was_let_go(promise_id)

    def add(self, cell: Cell) -> None:
        """The program has made it, or asks for it."""
        self._by_id[cell.promise_id] = cell

    def get(self, promise_id: bytes) -> Cell | None:
        """What is known of it, unless it was let go."""
        return self._by_id.get(promise_id)

    def all(self) -> list[Cell]:
        """Those that were not let go."""
        return list(self._by_id.values())

    def was_let_go(self, promise_id: bytes) -> bool:
        """Whether the program has made it and was told its outcome."""
        return any(_holds(ids, promise_id) for _, ids in self._told)

    def kind_of(self, promise_id: bytes) -> Any:  # noqa: ANN401 - an annotation
        """The type of the value of one that was let go."""
        return next(kind for kind, ids in self._told if _holds(ids, promise_id))

    def hand_out(self, cell: Cell, handle: DurablePromise[Any]) -> None:
        """The program gets `handle`; while it holds it, the cell is kept."""
        # Only weakly back to the cells: a run that is over leaves no cycle.
        cell.handle = weakref.ref(handle, partial(_dropped, weakref.ref(self), cell.promise_id))

    def told(self, cell: Cell) -> None:
        """One who waited has the outcome: let it go, unless somebody may ask again."""
        if cell.waits or (cell.handle is not None and cell.handle() is not None):
            return
        self.forget(cell)
        if not cell.again:
            for kind, ids in self._told:
                if kind == cell.kind:
                    ids.extend(cell.promise_id[:_KEPT])
                    return
            self._told.append((cell.kind, bytearray(cell.promise_id[:_KEPT])))

    def forget(self, cell: Cell) -> None:
        """Nothing of it has to be kept."""
        self._by_id.pop(cell.promise_id, None)
        self._cursor.forget_resolution(cell.promise_id)


async def recall(run: Run, cell: Cell) -> None:
    """Take from the journal how the promise of `cell` was resolved, of which the program was told.

    Reads it from the beginning, and raises what reading raises.
    """
    (row,) = await run.parts.backend.heads([run.execution_id.bytes])
    reader = reader_of(run.parts, row)
    found: list[JournalRow] = []

    def take(entry: JournalRow) -> None:
        if entry.entry_kind == EntryKind.PROMISE_RESOLVED and not found:
            found.extend([entry] * (resolved_promise(entry.detail) == cell.promise_id))

    await read_all(run.parts, reader, take)
    if not found:
        message = (
            f"execution {run.execution_id} does not hold the resolution of a promise any more: the "
            "journal was changed outside durable-core; restore it from a backup"
        )
        raise IntegrityError(message)
    cell.take(found[0].entry_no, found[0].detail, reader.envelope.open(found[0]))


def _dropped(cells: weakref.ref[Cells], promise_id: bytes, _: object) -> None:
    known = cells()
    cell = None if known is None else known.get(promise_id)
    if known is not None and cell is not None and cell.was_told:
        known.told(cell)


def _holds(ids: bytearray, promise_id: bytes) -> bool:
    kept = promise_id[:_KEPT]
    at = ids.find(kept)
    while at % _KEPT and at >= 0:
        at = ids.find(kept, at + 1)
    return at >= 0
