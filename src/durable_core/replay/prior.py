"""What earlier generations of an execution have done, for a fresh run to take over (INV-13)."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field

from durable_core.model.effects import EffectClass
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.replay.detail import StepDetail
from durable_core.wire.waits import Timer

__all__ = ["PriorEffects"]


@define
class PriorEffects:
    """The last word of earlier generations on every step, by idempotency key.

    A run that is resumed after its workflow failed takes over every result, not only those of
    guarded steps; one that follows a divergence takes over those of guarded steps alone.
    """

    divergences: int = 0
    _by_key: dict[bytes, JournalRow] = field(factory=dict)
    _claimed: dict[bytes, None] = field(factory=dict)
    _timers: dict[str, int] = field(factory=dict)
    _finished: bool = False

    @property
    def empty(self) -> bool:
        """Whether earlier generations have left nothing that could be taken over."""
        return not self._by_key

    def add(self, row: JournalRow) -> None:
        """Take in the next entry of an earlier generation."""
        self._finished = row.entry_kind == EntryKind.EXECUTION_FINISHED
        if row.entry_kind == EntryKind.TIMER_ARMED:
            timer = Timer.decode(row.detail)
            self._timers.setdefault(timer.timer_id, timer.due_at)
        if row.idem_key is None:
            return
        known = self._by_key.get(row.idem_key)
        failed = row.entry_kind == EntryKind.STEP_FAILED
        if known is not None and failed and known.generation < row.generation:
            # Whatever a later run made of the step, this is what happened outside.
            return
        self._by_key[row.idem_key] = row

    def next_generation(self) -> None:
        """Another generation begins: note how the one before ended.

        After a divergence nothing that was computed before it is taken over any more.
        """
        self.divergences += not self._finished
        if not self._finished:
            self._by_key = {key: row for key, row in self._by_key.items() if _is_guarded(row)}
            self._timers.clear()

    def claim(self, idem_key: bytes) -> JournalRow | None:
        """The last word on exactly this step; None also for a `step_failed`, which binds no run."""
        row = self._by_key.get(idem_key)
        if row is None or row.entry_kind == EntryKind.STEP_FAILED:
            return None
        self._claimed[idem_key] = None
        return row

    def consume(self, idem_key: bytes) -> None:
        """The step has an entry of its own in this generation, and so is claimed."""
        if idem_key in self._by_key:
            self._claimed[idem_key] = None

    def due_time(self, timer_id: str) -> int | None:
        """When that timer was due in a run that failed: the one that follows waits no longer."""
        return self._timers.get(timer_id)

    def unclaimed_effects(self, name: str) -> Iterator[JournalRow]:
        """The last words on guarded effects of that step name that no step has claimed yet.

        Each happened, or may have, but for those that are settled as "did not run".
        """
        for idem_key, row in self._by_key.items():
            if (
                _is_guarded(row)
                and row.entry_kind != EntryKind.STEP_FAILED
                and idem_key not in self._claimed
                and StepDetail.decode(row.detail).name == name
            ):
                yield row


def _is_guarded(row: JournalRow) -> bool:
    return row.effect_class == EffectClass.EXACTLY_ONCE_GUARDED
