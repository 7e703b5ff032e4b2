"""What earlier generations of an execution have done, for a fresh run to take over (INV-13)."""

from __future__ import annotations

from attrs import define, field

from durable_core.model.effects import EffectClass
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.replay.detail import StepDetail

__all__ = ["PriorEffects"]


@define
class PriorEffects:
    """The last word of earlier generations on every step, by idempotency key.

    `results_too` says that the generation before ended as `failed`: a resumed run takes over
    every result then, not only those of guarded steps.
    """

    results_too: bool = False
    divergences: int = 0
    _by_key: dict[bytes, JournalRow] = field(factory=dict)
    _claimed: set[bytes] = field(factory=set)
    _finished: bool = False

    def add(self, row: JournalRow) -> None:
        """Take in the next entry of an earlier generation."""
        self._finished = row.entry_kind == EntryKind.EXECUTION_FINISHED
        if row.idem_key is not None:
            self._by_key[row.idem_key] = row

    def next_generation(self) -> None:
        """Another generation begins: note how the one before ended."""
        self.results_too = self._finished
        self.divergences += not self._finished

    def claim(self, idem_key: bytes) -> JournalRow | None:
        """The last word on exactly this step; None also for a `step_failed`, which binds no run."""
        row = self._by_key.get(idem_key)
        if row is None or row.entry_kind == EntryKind.STEP_FAILED:
            return None
        if row.effect_class != EffectClass.EXACTLY_ONCE_GUARDED and not self.results_too:
            return None
        self._claimed.add(idem_key)
        return row

    def unclaimed_effect(self, name: str) -> JournalRow | None:
        """A guarded effect of that step name that happened, or may have, and is not claimed yet."""
        for idem_key, row in self._by_key.items():
            if (
                row.effect_class == EffectClass.EXACTLY_ONCE_GUARDED
                and row.entry_kind != EntryKind.STEP_FAILED
                and idem_key not in self._claimed
                and StepDetail.decode(row.detail).name == name
            ):
                return row
        return None
