"""What waits in the writer's queue, and how it becomes a `CommitBatch`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Final

from durable_core.contracts.cipher import Seal
from durable_core.contracts.exchange import BatchOutcome, CommitBatch
from durable_core.errors import DurableError, EntryRejected
from durable_core.journal.lane import HeadState, Lane
from durable_core.journal.lookups import LOOKED_UP, Lookups
from durable_core.model.entries import Entry, JournalRow
from durable_core.model.execution import Status
from durable_core.wire.envelope import NONE_PREPARED

__all__ = ["Pending", "accepted", "batch_of", "form", "form_ahead", "form_all"]

_MANY: Final = 8
"""Seals that cost less where they are prepared together."""


class Pending:
    """One accepted append (or bare change of status) on its way into the database.

    `row` and `after` are set when its batch is formed and kept by every retry (INV-7). `heirs` are
    the first entries of the execution that continues this one: they are formed, committed and
    settled with it, and never without it.
    """

    __slots__ = ("after", "formed", "future", "heirs", "lane", "row", "settled", "what")

    lane: Lane
    what: Entry | Status
    future: asyncio.Future[int] | None
    heirs: Sequence[Pending]
    row: JournalRow | None
    after: HeadState
    formed: bool
    settled: bool


def accepted(
    lane: Lane,
    what: Entry | Status,
    future: asyncio.Future[int] | None = None,
    heirs: Sequence[Pending] = (),
) -> Pending:
    """What was just accepted. A function, since an `__init__` takes half as long again."""
    pending = Pending()
    pending.lane = lane
    pending.what = what
    pending.future = future
    pending.heirs = heirs
    pending.row = None
    pending.after = lane.formed
    pending.formed = False
    pending.settled = False
    return pending


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
            pending.row = lane.form(pending.what, now_ms, seals)
            pending.after = lane.formed
            for heir in pending.heirs:
                heir.row = heir.lane.form(heir.what, now_ms, seals)
                heir.after = heir.lane.formed
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
    seals = _seals_for(appends)
    return [pending for pending in appends if form(pending, now_ms, seals)]


def form_ahead(appends: Sequence[Pending], now_ms: int) -> None:
    """Form appends that wait, in their order, before it is known what became of those in hand.

    Stops where one cannot be formed, or begins another execution: that is for its own batch.
    """
    seals = _seals_for(appends)
    for pending in appends:
        lane = pending.lane
        if lane.failure is not None:
            continue
        if not pending.formed:
            if pending.heirs:
                return
            try:
                pending.row = lane.form(pending.what, now_ms, seals)
            except Exception:  # noqa: BLE001 - `form` meets it again, and tells it
                return
            pending.after, pending.formed = lane.formed, True
        lane.formed = pending.after


def _seals_for(appends: Sequence[Pending]) -> Iterator[Seal]:
    if len(appends) < _MANY:
        return NONE_PREPARED
    unformed = [pending for pending in appends if not pending.formed]
    return appends[0].lane.envelope.wire.seals(len(unformed))


def batch_of(
    formed: Sequence[Pending],
    now_ms: int,
    meanwhile: Callable[[], None] | None = None,
    told: Callable[[BatchOutcome], None] | None = None,
) -> CommitBatch:
    """One transaction for appends that were formed in this order."""
    batch = formed
    handed_on = [pending for pending in formed if pending.heirs]
    if handed_on:
        batch = [one for pending in formed for one in (pending, *pending.heirs)]
    states: dict[Lane, HeadState] = {}
    rows: list[JournalRow] = []
    lookups = Lookups()
    for pending in batch:
        states[pending.lane] = pending.after
        row = pending.row
        if row is not None:
            rows.append(row)
            if row.entry_kind in LOOKED_UP:
                lookups.add(pending.lane, pending.what, row.created_at)
    successions = [
        (pending.lane.row.execution_id, pending.heirs[0].lane.row.execution_id)
        for pending in handed_on
    ]
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
        meanwhile,
        told,
    )
