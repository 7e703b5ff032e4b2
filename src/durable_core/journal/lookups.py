"""What the entries of promises and timers change in the tables by which they are looked up.

What is true of them stands in the journal. The tables say where a promise is, whether it was
resolved, and when timers are due, to those who do not read journals.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

from durable_core.contracts.exchange import PromiseRow, TimerRow
from durable_core.errors import DecodeError, EntryRejected
from durable_core.journal.lane import Lane
from durable_core.model.entries import (
    PROMISE_KINDS,
    TIMER_KINDS,
    Entry,
    PromiseCreated,
    PromiseResolved,
    TimerArmed,
    TimerFired,
)
from durable_core.model.execution import Status
from durable_core.wire.promises import outcome_mark, promise_token, token_hash
from durable_core.wire.waits import CreatedPromise, Signal, Timer, fired_timer, resolved_promise

__all__ = ["LOOKED_UP", "Lookups", "check_looked_up"]

LOOKED_UP: Final = PROMISE_KINDS | TIMER_KINDS
"""The kinds that change one of the tables."""


@define
class Lookups:
    """Gathers the changes of one batch, in the order of its entries."""

    promises: dict[bytes, PromiseRow] = field(factory=dict)
    timers: dict[tuple[bytes, str], TimerRow] = field(factory=dict)
    disarmed: dict[tuple[bytes, str], None] = field(factory=dict)

    def add(self, lane: Lane, entry: Entry | Status, created_at: int) -> None:
        """Take in the next entry of the batch, of a kind in `LOOKED_UP`."""
        execution_id = lane.row.execution_id
        match entry:
            case PromiseCreated(detail=detail):
                created = CreatedPromise.decode(detail)
                self._keep(lane, created.promise_id, created.name, None, created_at)
            case PromiseResolved(detail=detail, payload=payload) if Signal.find(detail) is None:
                promise_id = resolved_promise(detail)
                mark = outcome_mark(lane.envelope.keys, execution_id, promise_id, payload)
                self._keep(lane, promise_id, "", mark, created_at)
            case TimerArmed(detail=detail):
                timer = Timer.decode(detail)
                place = execution_id, timer.timer_id
                self.timers[place] = TimerRow(*place, timer.due_at)
                self.disarmed.pop(place, None)
            case TimerFired(detail=detail):
                place = execution_id, fired_timer(detail)
                self.timers.pop(place, None)
                self.disarmed[place] = None
            case _:
                pass

    def _keep(
        self, lane: Lane, promise_id: bytes, name: str, outcome: bytes | None, created_at: int
    ) -> None:
        known = self.promises.get(promise_id)
        execution_id = lane.row.execution_id
        token = promise_token(lane.envelope.keys, execution_id, promise_id)
        self.promises[promise_id] = PromiseRow(
            promise_id,
            execution_id,
            name or (known.name if known else ""),
            token_hash(token, execution_id, promise_id),
            outcome or (known.outcome if known else None),
            known.created_at if known else created_at,
        )


def check_looked_up(lane: Lane, entry: Entry) -> None:
    """Return if the tables can follow `entry`, of a kind in `LOOKED_UP`; notes nothing.

    Asked when the entry is offered, so that none reaches the commit loop that cannot be told there.
    `ConfigError` for a promise of an execution without a key, `EntryRejected` for a detail that
    says nothing of a promise or timer.
    """
    try:
        Lookups().add(lane, entry, 0)
    except DecodeError as error:
        message = (
            f"the detail of an entry of kind {entry.kind.label} does not follow the format; "
            "nothing was written"
        )
        raise EntryRejected(message) from error
