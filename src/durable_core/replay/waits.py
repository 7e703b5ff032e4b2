"""What the program asks for at places that are no steps: timers and promises."""

from __future__ import annotations

from attrs import define

from durable_core.model.effects import EffectClass
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.replay.lookup import Wanted
from durable_core.wire.waits import CreatedPromise, Timer, fired_detail, fired_timer

__all__ = ["WantedPromise", "WantedTimer"]


@define(unsafe_hash=True)
class WantedTimer(Wanted):
    """A wait with a due time. Where the workflow cancelled it, a `step_failed` closes it."""

    timer_id: str

    @classmethod
    def make(cls, step_id: str, name: str, fingerprint: bytes, timer_id: str) -> WantedTimer:
        """The wait that is named `name` in accounts of a divergence."""
        return cls(step_id, name, fingerprint, int(EffectClass.IDEMPOTENT), (), timer_id)

    @property
    def is_step(self) -> bool:
        """It is none."""
        return False

    def is_at(self, row: JournalRow) -> bool:
        """Whether `row` belongs to this wait; the due time may be another one by now."""
        if row.entry_kind == EntryKind.TIMER_FIRED:
            return (
                row.detail == fired_detail(self.timer_id)
                or fired_timer(row.detail) == self.timer_id
            )
        if row.entry_kind == EntryKind.TIMER_ARMED:
            return Timer.decode(row.detail).timer_id == self.timer_id
        return super().is_at(row)


@define(unsafe_hash=True)
class WantedPromise(Wanted):
    """A promise that the program makes."""

    created: CreatedPromise

    @classmethod
    def make(cls, step_id: str, name: str, created: CreatedPromise) -> WantedPromise:
        """The promise that `created` makes, which is named `name` in accounts of a divergence."""
        return cls(step_id, name, b"", 0, (), created)

    @property
    def is_step(self) -> bool:
        """It is none."""
        return False

    def is_at(self, row: JournalRow) -> bool:
        """Whether `row` makes this promise."""
        return row.entry_kind == EntryKind.PROMISE_CREATED and (
            row.detail == self.created.detail()
            or CreatedPromise.decode(row.detail).promise_id == self.created.promise_id
        )
