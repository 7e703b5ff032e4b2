"""What waits in the writer's queue, and how it becomes a `CommitBatch`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Final

from durable_core.contracts.cipher import Seal
from durable_core.contracts.exchange import CommitBatch
from durable_core.errors import DurableError, EntryRejected
from durable_core.journal.lane import HeadState, Lane
from durable_core.journal.lookups import LOOKED_UP, Lookups
from durable_core.model.entries import Entry, JournalRow
from durable_core.model.execution import Status
from durable_core.wire.envelope import NONE_PREPARED

__all__ = ["Pending", "batch_of", "form", "form_all"]

_MANY: Final = 8
"""Seals that cost less where they are prepared together."""


class Pending:
    """One accepted append (or bare change of status) on its way into the database.

    `row` and `after` are set when its batch is formed and kept by every retry (INV-7). `heirs` are
    the first entries of the execution that continues this one: they are formed, committed and
    settled with it, and never without it.
    """

    __slots__ = ("after", "entry", "formed", "future", "heirs", "lane", "row", "settled", "status")

    def __init__(
        self,
        lane: Lane,
        entry: Entry | None,
        status: Status | None,
        future: asyncio.Future[int] | None,
        heirs: Sequence[Pending] = (),
    ) -> None:
        self.heirs = heirs
        self.lane = lane
        self.entry = entry
        self.status = status
        self.future = future
        self.row: JournalRow | None = None
        self.after = lane.formed
        self.formed = False
        self.settled = False


def form(pending: Pending, now_ms: int, seals: Iterator[Seal] = NONE_PREPARED) -> bool:
    """Number, seal and stamp one append, unless an earlier attempt has done so.

    False if its lane has failed, or fails now because it cannot be sealed (EC-04). Whatever a
    cipher raises that is not ours is told by its type alone, unchained: its text and its traceback
    may show what was to be sealed (INV-5).
    """
    lane = pending.lane
    if pending.settled or lane.failure is not None:
        return False
    if not pending.formed:
        try:
            for one in (pending, *pending.heirs):
                one.row = one.lane.form(one.entry, one.status, now_ms, seals)
                one.after = one.lane.formed
        except DurableError as error:
            lane.failure = error
            return False
        except Exception as error:  # noqa: BLE001 - ciphers are foreign code
            lane.failure = EntryRejected(
                f"an entry could not be sealed: {type(error).__name__}; it and the later entries "
                "of its execution are not written",
            )
            return False
        pending.formed = True
    lane.formed = pending.after
    return True


def form_all(appends: Sequence[Pending], now_ms: int) -> list[Pending]:
    """Form appends in their order; those that can be written."""
    unformed = [pending for pending in appends if not pending.formed]
    seals = NONE_PREPARED
    if len(unformed) >= _MANY:
        seals = unformed[0].lane.envelope.wire.seals(len(unformed))
    return [pending for pending in appends if form(pending, now_ms, seals)]


def batch_of(formed: Iterable[Pending], now_ms: int) -> CommitBatch:
    """One transaction for appends that were formed in this order."""
    states: dict[Lane, HeadState] = {}
    rows = []
    lookups = Lookups()
    successions: list[tuple[bytes, bytes]] = []
    for pending in _with_heirs(formed):
        states[pending.lane] = pending.after
        row = pending.row
        if row is not None:
            rows.append(row)
            if row.entry_kind in LOOKED_UP:
                lookups.add(pending.lane, pending.entry, row.created_at)
        if pending.heirs:
            heir = pending.heirs[0].lane.row.execution_id
            successions.append((pending.lane.row.execution_id, heir))
    starts = [lane.start_as(after, now_ms) for lane, after in states.items() if not lane.stored]
    changes = [lane.change_to(after, now_ms) for lane, after in states.items() if lane.stored]
    changes.sort(key=itemgetter(0))
    return CommitBatch(
        tuple(starts),
        tuple(changes),
        tuple(rows),
        tuple(lookups.promises.values()),
        tuple(lookups.timers.values()),
        tuple(lookups.disarmed),
        tuple(successions),
    )


def _with_heirs(appends: Iterable[Pending]) -> Iterator[Pending]:
    for pending in appends:
        yield pending
        yield from pending.heirs
